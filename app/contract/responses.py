"""Responses of the hooks, and the JSON that Metacontroller reads.

Sync answers have no ``finalized``: only a finalize hook may let a parent go. A decorator's answer has no
``status`` on purpose: Metacontroller would write it over what the agent recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.contract.fields import JsonObject


@dataclass(frozen=True, slots=True)
class CompositeResponse:
    """The parent's whole status and every child that should exist; `finalized` is None outside finalizing."""

    status: JsonObject
    children: list[JsonObject]
    finalized: bool | None = None

    def to_json(self) -> JsonObject:
        """Return the body of the answer."""
        body: JsonObject = {"status": self.status, "children": self.children}
        if self.finalized is not None:
            body["finalized"] = self.finalized
        return body


@dataclass(frozen=True, slots=True)
class DecoratorResponse:
    """Every attachment that should exist; `finalized` is None outside finalizing."""

    attachments: list[JsonObject]
    finalized: bool | None = None

    def to_json(self) -> JsonObject:
        """Return the body of the answer."""
        body: JsonObject = {"attachments": self.attachments}
        if self.finalized is not None:
            body["finalized"] = self.finalized
        return body


@dataclass(frozen=True, slots=True)
class RelatedRule:
    """Objects of one resource, in one namespace, with these labels."""

    api_version: str
    resource: str
    namespace: str
    match_labels: dict[str, str]

    def to_json(self) -> JsonObject:
        """Return the rule as Metacontroller reads it."""
        return {
            "apiVersion": self.api_version,
            "resource": self.resource,
            "namespace": self.namespace,
            "labelSelector": {"matchLabels": self.match_labels},
        }


@dataclass(frozen=True, slots=True)
class CustomizeResponse:
    """Which objects are sent along with a parent's syncs."""

    related: list[RelatedRule]

    def to_json(self) -> JsonObject:
        """Return the body of the answer."""
        return {"relatedResources": [rule.to_json() for rule in self.related]}
