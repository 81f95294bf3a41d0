"""CompositeController and DecoratorController objects, parsed into what the driver needs. Pure.

What the stand-in can't do is refused here with a message that names it, never ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from devcluster.hookdriver.children import Method
from devcluster.hookdriver.errors import ConfigError
from devcluster.hookdriver.objects import Object, name_of
from devcluster.hookdriver.selectors import Selector, parse_selector

API_VERSION = "metacontroller.k8s.io/v1alpha1"
COMPOSITE = "CompositeController"
DECORATOR = "DecoratorController"
DEFAULT_HOOK_TIMEOUT = 10.0

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_UNSUPPORTED = ("clientTLS", "basicAuth")
_CREDENTIALS = ("caBundle", "authorization")


@dataclass(frozen=True)
class ParentRule:
    """One kind of parents and which of them are meant."""

    api_version: str
    resource: str
    labels: Selector
    annotations: Selector
    ignore_status_changes: bool


@dataclass(frozen=True)
class ChildRule:
    """One kind of children and how existing ones are brought up to date."""

    api_version: str
    resource: str
    method: Method


@dataclass(frozen=True)
class KeyRef:
    """A key of a Secret or ConfigMap."""

    resource: str
    namespace: str
    name: str
    key: str


@dataclass(frozen=True)
class HookConfig:
    """Where a hook is and how it is spoken to."""

    url: str
    version: str
    timeout_seconds: float
    strict: bool
    ca: str | KeyRef | None = None
    """Who signs the server's certificate, as PEM or where the PEM is; None: the system's authorities."""
    authorization: tuple[str, KeyRef] | None = None
    """Scheme and place of what the header Authorization holds; None: no header."""


@dataclass(frozen=True)
class ControllerConfig:
    """One controller object."""

    kind: str
    name: str
    source: Object
    parents: tuple[ParentRule, ...]
    children: tuple[ChildRule, ...]
    sync: HookConfig | None
    finalize: HookConfig | None
    customize: HookConfig | None
    resync_seconds: float | None
    generate_selector: bool

    @property
    def finalizer(self) -> str:
        """The finalizer that parents carry while there is a finalize hook."""
        return f"metacontroller.io/{self.kind.lower()}-{self.name}"


def parse_controller(obj: Object) -> ControllerConfig:
    """Parse a controller object of either kind, or raise ConfigError."""
    spec, kind = obj.get("spec") or {}, str(obj.get("kind"))
    hooks = spec.get("hooks")
    if not hooks:
        raise ConfigError("no hooks defined")
    endpoints = spec.get("endpointConfigs") or []
    composite = kind == COMPOSITE
    parents = [spec.get("parentResource") or {}] if composite else spec.get("resources") or []
    period = spec.get("resyncPeriodSeconds")
    return ControllerConfig(
        kind=kind,
        name=name_of(obj),
        source=for_requests(obj),
        parents=tuple(_parent(rule) for rule in parents),
        children=tuple(
            _child(rule) for rule in spec.get("childResources" if composite else "attachments") or []
        ),
        sync=_hook(hooks.get("sync"), endpoints),
        finalize=_hook(hooks.get("finalize"), endpoints),
        customize=_hook(hooks.get("customize"), endpoints),
        # More often than once a second would be a hot loop of everything.
        resync_seconds=None if period is None else max(1.0, float(period)),
        generate_selector=bool(spec.get("generateSelector")),
    )


def for_requests(obj: Object) -> Object:
    """Return the controller object as hooks get it: with the empty fields that Metacontroller's types have."""
    spec = dict(obj.get("spec") or {})
    if spec.get("childResources"):
        spec["childResources"] = [_with_status_checks(rule) for rule in spec["childResources"]]
    return {**obj, "spec": spec, "status": {}}


def _with_status_checks(rule: Object) -> Object:
    if not rule.get("updateStrategy"):
        return rule
    return {**rule, "updateStrategy": {"statusChecks": {}, **rule["updateStrategy"]}}


def _parent(rule: Mapping[str, Any]) -> ParentRule:
    api_version, resource = _resource(rule)
    return ParentRule(
        api_version,
        resource,
        labels=parse_selector(rule.get("labelSelector")),
        annotations=parse_selector(rule.get("annotationSelector"), labels_key="matchAnnotations"),
        ignore_status_changes=bool(rule.get("ignoreStatusChanges")),
    )


def _child(rule: Mapping[str, Any]) -> ChildRule:
    api_version, resource = _resource(rule)
    name = (rule.get("updateStrategy") or {}).get("method") or Method.ON_DELETE.value
    try:
        return ChildRule(api_version, resource, Method(name))
    except ValueError:
        known = ", ".join(method.value for method in Method)
        raise ConfigError(
            f"update strategy {name} of {resource} isn't supported by the stand-in ({known})"
        ) from None


def _resource(rule: Mapping[str, Any]) -> tuple[str, str]:
    api_version, resource = rule.get("apiVersion"), rule.get("resource")
    if not api_version or not resource:
        raise ConfigError(f"a resource rule needs apiVersion and resource: {dict(rule)}")
    return str(api_version), str(resource)


def _hook(hook: Mapping[str, Any] | None, endpoints: Sequence[Mapping[str, Any]]) -> HookConfig | None:
    webhook = (hook or {}).get("webhook")
    if hook is None or webhook is None:
        return None
    if (webhook.get("etag") or {}).get("enabled"):
        raise ConfigError("webhook.etag isn't supported by the stand-in")
    version = hook.get("version") or "v1"
    mode = webhook.get("responseUnMarshallMode") or ("strict" if version == "v2" else "loose")
    url = _url(webhook)
    credentials = _credentials(webhook, url, endpoints)
    return HookConfig(
        url,
        version,
        _timeout(webhook.get("timeout")),
        strict=mode == "strict",
        ca=_ca(credentials.get("caBundle")),
        authorization=_authorization(credentials.get("authorization")),
    )


def _credentials(
    webhook: Mapping[str, Any], url: str, endpoints: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any]:
    """Return where TLS and credentials of a hook are written: at the hook, else at the first entry for its host."""
    names = (*_CREDENTIALS, *_UNSUPPORTED)
    host = urlsplit(url).netloc.lower()
    found = webhook
    if not any(webhook.get(name) for name in names):
        found = next((each for each in endpoints if str(each.get("host")).lower() == host), {})
    for name in _UNSUPPORTED:
        if found.get(name):
            raise ConfigError(f"{name} isn't supported by the stand-in")
    return found


def _ca(bundle: Mapping[str, Any] | None) -> str | KeyRef | None:
    if not bundle:
        return None
    sources = [name for name in ("inline", "secretRef", "configMapRef") if bundle.get(name) is not None]
    if len(sources) != 1:
        raise ConfigError("caBundle needs exactly one of inline, secretRef, configMapRef")
    if sources == ["inline"]:
        return str(bundle["inline"])
    ref = bundle[sources[0]]
    resource = "secrets" if sources == ["secretRef"] else "configmaps"
    return KeyRef(resource, ref["namespace"], ref["name"], ref.get("key") or "ca.crt")


def _authorization(spec: Mapping[str, Any] | None) -> tuple[str, KeyRef] | None:
    if not spec:
        return None
    scheme, ref = str(spec.get("type") or "Bearer").strip(), spec["secretRef"]
    if scheme.lower() == "basic":
        raise ConfigError("authorization of type Basic isn't supported; Metacontroller has basicAuth for it")
    return scheme, KeyRef("secrets", ref["namespace"], ref["name"], ref["key"])


def _url(webhook: Mapping[str, Any]) -> str:
    if webhook.get("url"):
        return str(webhook["url"])
    service, path = webhook.get("service"), webhook.get("path")
    if not service or not path:
        raise ConfigError("a webhook needs either a full url, or both service and path")
    if not service.get("name") or not service.get("namespace"):
        raise ConfigError("a webhook's service needs name and namespace")
    protocol, port = service.get("protocol") or "http", service.get("port") or 80
    return f"{protocol}://{service['name']}.{service['namespace']}:{port}{path}"


def _timeout(text: str | None) -> float:
    """Read a duration of one unit (`500ms`, `10s`, `1m`); anything else is the default, as in Metacontroller."""
    for unit, seconds in _DURATION_UNITS.items():
        number = (text or "").removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit() and float(number) > 0:
            return float(number) * seconds
    return DEFAULT_HOOK_TIMEOUT
