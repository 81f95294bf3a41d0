"""Label selectors as Kubernetes defines them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devcluster.hookdriver.errors import ConfigError

OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


@dataclass(frozen=True)
class Requirement:
    """One `key operator values` that labels must meet."""

    key: str
    operator: str
    values: frozenset[str]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels meet it; an absent key meets NotIn, as in Kubernetes."""
        match self.operator:
            case "In":
                return self.key in labels and labels[self.key] in self.values
            case "NotIn":
                return self.key not in labels or labels[self.key] not in self.values
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels


@dataclass(frozen=True)
class Selector:
    """Requirements that labels must meet all at once; none at all matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether the labels meet every requirement."""
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether it matches everything."""
        return not self.requirements


EVERYTHING = Selector()


def parse_selector(selector: Mapping[str, Any] | None, *, labels_key: str = "matchLabels") -> Selector:
    """Parse a LabelSelector; an absent one matches everything."""
    if selector is None:
        return EVERYTHING
    exact = [
        Requirement(key, "In", frozenset([value])) for key, value in (selector.get(labels_key) or {}).items()
    ]
    expressions = [_parse_expression(item) for item in selector.get("matchExpressions") or []]
    return Selector((*exact, *expressions))


def _parse_expression(expression: Mapping[str, Any]) -> Requirement:
    key, operator = expression.get("key"), expression.get("operator")
    values = expression.get("values") or []
    if not isinstance(key, str) or operator not in OPERATORS:
        raise ConfigError(f"not a selector requirement: {dict(expression)}")
    if (operator in ("In", "NotIn")) != bool(values):
        raise ConfigError(f"operator {operator} of selector key {key} has the wrong number of values")
    return Requirement(key, operator, frozenset(values))
