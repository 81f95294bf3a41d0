"""Fields of ``spec.pod`` that mean the same in a Pod's spec: scheduling, network, service account, deadlines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from app.children.pod_settings import Settings, is_given
from app.contract.fields import JsonObject
from app.vocabulary import DEFAULT_ACTIVE_DEADLINE_SECONDS

_COPIED: Final[dict[str, Callable[[Settings, str], Any]]] = {
    "terminationGracePeriodSeconds": Settings.number,
    "serviceAccountName": Settings.text,
    "automountServiceAccountToken": Settings.flag,
    "imagePullSecrets": Settings.objects,
    "nodeSelector": Settings.texts,
    "nodeName": Settings.text,
    "affinity": Settings.mapping,
    "schedulerName": Settings.text,
    "tolerations": Settings.objects,
    "hostAliases": Settings.objects,
    "dnsConfig": Settings.dense,
    "dnsPolicy": Settings.text,
    "runtimeClassName": Settings.text,
    "topologySpreadConstraints": Settings.objects,
}
"""Each field that is copied, with the reader that knows its type."""


def copied_fields(pod: Settings) -> JsonObject:
    """Return the fields that the user gave, as they are; Kubernetes has the defaults of the others."""
    values = {field: read(pod, field) for field, read in _COPIED.items()}
    return {field: value for field, value in values.items() if is_given(value)}


def deadline(pod: Settings) -> int:
    """Return ``activeDeadlineSeconds``."""
    seconds = pod.number("activeDeadlineSeconds")
    return DEFAULT_ACTIVE_DEADLINE_SECONDS if seconds is None else seconds
