"""What is installed into the API server, from the same files that users install: definitions, roles, hook objects.

The operator and what drives its hooks are processes here, so Deployments are left out, and hook URLs that point at the
operator's Service point at its loopback address instead.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from devcluster.kubectl import Document, Kubectl
from devcluster.paths import REPOSITORY
from devcluster.progress import wait_until

DEFINITION = "CustomResourceDefinition"
HOOK_GROUP = "metacontroller.k8s.io/"
LEFT_OUT = frozenset({"Deployment"})
MANIFESTS = REPOSITORY / "manifests"


@dataclass(frozen=True)
class Installation:
    """The objects in the order in which they go in."""

    definitions: tuple[Document, ...]
    namespaces: tuple[Document, ...]
    others: tuple[Document, ...]
    hooks: tuple[Document, ...]


def read(kubectl: Kubectl, overlay: str = "") -> list[Document]:
    """Read the objects from their files, of an overlay if one is named; no API server is needed for that."""
    manifests = MANIFESTS / "overlays" / overlay if overlay else MANIFESTS
    sources = [MANIFESTS / "metacontroller", manifests]
    with ThreadPoolExecutor() as pool:
        return [document for found in pool.map(kubectl.documents, sources) for document in found]


def install(
    kubectl: Kubectl,
    documents: Iterable[Document],
    hooks_endpoint: str | None,
    left_out: Collection[str] = LEFT_OUT,
) -> None:
    """Install the objects, except for some kinds, with the hooks pointing at `hooks_endpoint`; None changes no hook."""
    wanted = arrange(documents, hooks_endpoint, left_out)
    kubectl.apply([*wanted.definitions, *wanted.namespaces])
    with ThreadPoolExecutor() as pool:
        others = pool.submit(kubectl.apply, wanted.others)
        wait_established(kubectl, [each["metadata"]["name"] for each in wanted.definitions])
        kubectl.apply(wanted.hooks)
        others.result()


def arrange(
    documents: Iterable[Document], hooks_endpoint: str | None, left_out: Collection[str] = LEFT_OUT
) -> Installation:
    """Sort objects into the order of their installation; of one that appears twice, the first counts."""
    groups: dict[str, list[Document]] = {"definitions": [], "namespaces": [], "others": [], "hooks": []}
    seen = set()
    for document in documents:
        key = _key(document)
        if key in seen or document["kind"] in left_out:
            continue
        seen.add(key)
        groups[_group(document)].append(document)
    for name in _unmade_namespaces(groups):
        groups["namespaces"].append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    hooks = groups.pop("hooks")
    if hooks_endpoint is not None:
        hooks = [redirected(document, hooks_endpoint) for document in hooks]
    return Installation(hooks=tuple(hooks), **{name: tuple(found) for name, found in groups.items()})


def _unmade_namespaces(groups: dict[str, list[Document]]) -> list[str]:
    """Return the namespaces of users' own that objects are in: a cluster with pools in them has them."""
    made = {each["metadata"]["name"] for each in groups["namespaces"]}
    needed = {each["metadata"].get("namespace", "") for each in groups["others"]}
    return sorted(needed - made - {""})


def redirected(document: Document, hooks_endpoint: str) -> Document:
    """Return a CompositeController or DecoratorController whose webhooks are called at another address."""
    changed = copy.deepcopy(document)
    for hook in changed["spec"].get("hooks", {}).values():
        webhook = hook.get("webhook")
        if webhook:
            path = _path(webhook)
            for name in ("url", "path", "service"):
                webhook.pop(name, None)
            webhook["url"] = hooks_endpoint + path
    return changed


def _path(webhook: dict[str, Any]) -> str:
    return str(webhook["path"]) if "path" in webhook else urlsplit(str(webhook["url"])).path


def _key(document: Document) -> tuple[str, str, str, str]:
    metadata = document["metadata"]
    return document["apiVersion"], document["kind"], metadata.get("namespace", ""), metadata["name"]


def _group(document: Document) -> str:
    if document["kind"] == DEFINITION:
        return "definitions"
    if document["kind"] == "Namespace":
        return "namespaces"
    return "hooks" if document["apiVersion"].startswith(HOOK_GROUP) else "others"


def wait_established(kubectl: Kubectl, names: Sequence[str]) -> None:
    """Wait until these definitions are served; `kubectl wait` itself trips over one that has no conditions yet."""

    def served() -> bool:
        found = json.loads(kubectl("get", "crd", *names, "-o", "json"))
        items = found["items"] if found["kind"] == "List" else [found]
        return all(_is_established(item) for item in items)

    if names:
        wait_until(served, f"the definitions {', '.join(names)}", within=30)


def _is_established(definition: Document) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def wait_default_account(kubectl: Kubectl) -> None:
    """Wait until Pods can be made in the default namespace: its ServiceAccount comes from a controller."""

    def exists() -> bool:
        found = kubectl(
            "get", "serviceaccount", "default", "--namespace=default", "--ignore-not-found", "-o", "name"
        )
        return bool(found.strip())

    wait_until(exists, "the default ServiceAccount", within=30)
