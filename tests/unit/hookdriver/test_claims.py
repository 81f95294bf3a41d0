"""Adoption and release by owner and labels, and the selectors behind them."""

import pytest

from devcluster.hookdriver.claims import Claim, adopted, claim, released
from devcluster.hookdriver.errors import ConfigError
from devcluster.hookdriver.objects import Json, Object, controller_reference
from devcluster.hookdriver.selectors import parse_selector

SELECTOR = parse_selector({"matchLabels": {"app": "x"}})
LEAVING = "2026-01-01T00:00:00Z"


def obj(kind: str, uid: str, **metadata: Json) -> Object:
    """Return an object."""
    return {"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": uid, "uid": uid, **metadata}}


PARENT = obj("Pool", "parent")
OWNED = [controller_reference(PARENT)]
OTHERS = [controller_reference(obj("Pool", "other"))]


@pytest.mark.parametrize(
    ("labels", "owners", "parent_leaves", "expected"),
    [
        ("x", OWNED, False, Claim.KEEP),
        ("x", OWNED, True, Claim.KEEP),
        ("y", OWNED, False, Claim.RELEASE),
        ("y", OWNED, True, Claim.IGNORE),
        ("x", OTHERS, False, Claim.IGNORE),
        ("x", [], False, Claim.ADOPT),
        ("x", [], True, Claim.IGNORE),
        ("y", [], False, Claim.IGNORE),
    ],
)
def test_claims_follow_owner_and_labels(
    labels: str, owners: list[Object], parent_leaves: bool, expected: Claim
) -> None:
    """A parent that leaves keeps what it has and takes or gives up nothing."""
    parent = obj("Pool", "parent", deletionTimestamp=LEAVING) if parent_leaves else PARENT
    child = obj("Item", "child", labels={"app": labels}, ownerReferences=owners)

    assert claim(parent, child, SELECTOR) is expected


def test_leaving_orphans_are_not_adopted() -> None:
    """They are gone before it would matter."""
    child = obj("Item", "child", labels={"app": "x"}, deletionTimestamp=LEAVING)

    assert claim(PARENT, child, SELECTOR) is Claim.IGNORE


def test_release_undoes_adoption() -> None:
    """Other owners stay in their places."""
    secret = {"kind": "Secret", "uid": "s"}
    child = obj("Item", "child", ownerReferences=[secret])

    taken = adopted(child, PARENT)

    assert taken["metadata"]["ownerReferences"] == [secret, controller_reference(PARENT)]
    assert released(taken, PARENT) == child


@pytest.mark.parametrize(
    ("operator", "values", "labels", "matches"),
    [
        ("In", ["a"], {"k": "a"}, True),
        ("In", ["a"], {}, False),
        ("NotIn", ["a"], {}, True),
        ("NotIn", ["a"], {"k": "a"}, False),
        ("Exists", [], {"k": ""}, True),
        ("DoesNotExist", [], {"k": ""}, False),
    ],
)
def test_expressions_mean_what_they_mean_in_kubernetes(
    operator: str, values: list[str], labels: dict[str, str], matches: bool
) -> None:
    """NotIn is met by labels that lack the key."""
    selector = parse_selector({"matchExpressions": [{"key": "k", "operator": operator, "values": values}]})

    assert selector.matches(labels) is matches


def test_an_expression_with_the_wrong_number_of_values_is_refused() -> None:
    """As the API server would."""
    with pytest.raises(ConfigError, match="wrong number"):
        parse_selector({"matchExpressions": [{"key": "k", "operator": "In", "values": []}]})
