"""Which fields of a pool's spec have no effect on it, as sentences for an Event; pure.

A field that does nothing is worse than a refused one: its author believes in it. What a schema can refuse, the CRD
refuses; here is what only the whole of a pool shows, or what an API server let through.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from app.agent.decisions import history, images

AT_THE_MOTHERSHIP = "set it at the mothership, where the pool was created"

ABOUT_REGISTRATION = {
    "space": AT_THE_MOTHERSHIP,
    "description": AT_THE_MOTHERSHIP,
    "driftDetectionRunLimits": AT_THE_MOTHERSHIP,
    "spaceliftAPICredentials": "the token is all that the pool needs",
}
"""Fields for pools that register themselves -> what to do in a pool with a token of its own, beside removing them."""

_BEATING_KEEP = ("successfulPodsHistoryLimit", "successfulPodsHistoryTTL")


def ignored_settings(spec: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each field without effect: which it is, why, and what to do instead."""
    return [*_registration(spec), *_history(spec), *_image_hosts(spec)]


def _registration(spec: Mapping[str, Any]) -> Iterator[str]:
    if not (spec.get("token") or spec.get("privateKey")):
        # Such a pool can't register at all, and is told so: what the fields would do is beside the point.
        return
    for field, instead in ABOUT_REGISTRATION.items():
        if spec.get(field):
            yield (
                f"spec.{field} has no effect: it is for pools that register themselves, and this one has a token of its "
                f"own; remove it, {instead}"
            )


def _history(spec: Mapping[str, Any]) -> Iterator[str]:
    unreadable = dict(history.faults(spec))
    for field, wrong in unreadable.items():
        yield f"spec.{field} has no effect: {wrong}"
    stronger = [each for each in _BEATING_KEEP if spec.get(each) is not None and each not in unreadable]
    if spec.get("keepSuccessfulPods") is True and stronger:
        fields = " and ".join(f"spec.{each}" for each in stronger)
        yield f"spec.keepSuccessfulPods has no effect: {fields} says how many successful Pods are kept; remove one of them"


def _image_hosts(spec: Mapping[str, Any]) -> Iterator[str]:
    hosts = spec.get("allowedRunnerImageHosts") or ()
    for entry in images.useless_entries(str(host) for host in hosts):
        yield (
            f'the entry "{entry[: images.QUOTED]}" of spec.allowedRunnerImageHosts matches no image: '
            f"write a registry's host, or host:port, without scheme and path"
        )
