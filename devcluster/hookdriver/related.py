"""Rules that relate resources to a parent: what they select, as the customize hook's answer says. Pure."""

from dataclasses import dataclass

from devcluster.hookdriver.errors import ConfigError, SyncError
from devcluster.hookdriver.objects import Object, labels_of, name_of, namespace_of
from devcluster.hookdriver.selectors import Selector, parse_selector


@dataclass(frozen=True)
class RelatedRule:
    """Objects of one resource, chosen by labels, or by namespace and names."""

    api_version: str
    resource: str
    labels: Selector
    namespace: str
    names: tuple[str, ...]

    def namespace_for(self, parent: Object, *, version: str, namespaced: bool) -> str:
        """Return the namespace to look in, empty for all; a version 1 hook never looks beyond the parent's."""
        own = namespace_of(parent)
        if version != "v1" or not own or not namespaced:
            return self.namespace if namespaced else ""
        if self.namespace not in ("", own):
            raise SyncError(
                f"requested related object namespace {self.namespace} "
                f"differs from parent object namespace {own}"
            )
        if self.names and not self.namespace:
            # Metacontroller looks for bare names in all namespaces, though it is only told of changes in one.
            return ""
        return own

    def selects(self, obj: Object) -> bool:
        """Tell whether the rule selects an object of its resource, wherever it is."""
        if self.names:
            return name_of(obj) in self.names
        return self.labels.matches(labels_of(obj))


def parse_rule(rule: Object) -> RelatedRule:
    """Parse one rule of a customize hook's answer."""
    selector, names = rule.get("labelSelector"), rule.get("names") or []
    if rule.get("namespaceSelector") is not None:
        raise SyncError("namespaceSelector in a related rule isn't supported by the stand-in")
    if names and selector is not None:
        raise SyncError(f"related rule cannot have both names and labelSelector specified: {rule}")
    try:
        labels = parse_selector(selector)
    except ConfigError as error:
        raise SyncError(str(error)) from error
    return RelatedRule(
        rule["apiVersion"], rule["resource"], labels, rule.get("namespace") or "", tuple(names)
    )
