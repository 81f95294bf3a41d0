"""No field of a pool is silently without effect."""

import pytest

from app.agent.decisions.ignored import ignored_settings
from tests.unit.agent import builders as a

LIMITS = {"maxRuns": 3}


def ignored(**spec: object) -> list[str]:
    """Return what is told of a pool with a token of its own and these fields."""
    return ignored_settings(a.pool(**spec).spec)


def test_an_ordinary_pool_has_nothing_to_be_told() -> None:
    """Nor has one that uses every field that is meant for it."""
    assert ignored() == []
    assert (
        ignored(
            keepSuccessfulPods=True,
            failedPodsHistoryLimit=3,
            failedPodsHistoryTTL="24h",
            allowedRunnerImageHosts=["docker.io", "reg.example:5000"],
            mqttReconnectRetryCount=0,
        )
        == []
    )


@pytest.mark.parametrize("empty", [None, "", [], {}])
def test_an_empty_field_is_an_absent_one(empty: object) -> None:
    """Null, empty text, empty list."""
    fields = ("space", "description", "driftDetectionRunLimits", "spaceliftAPICredentials")
    assert ignored(**dict.fromkeys(fields, empty), allowedRunnerImageHosts=empty) == []


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"space": "root"}, "spec.space"),
        ({"description": "ours"}, "spec.description"),
        ({"driftDetectionRunLimits": LIMITS}, "spec.driftDetectionRunLimits"),
        ({"spaceliftAPICredentials": {"secretKeyRef": {"name": "api"}}}, "spec.spaceliftAPICredentials"),
        ({"keepSuccessfulPods": True, "successfulPodsHistoryLimit": 0}, "spec.keepSuccessfulPods"),
        ({"keepSuccessfulPods": True, "successfulPodsHistoryTTL": "1h"}, "spec.keepSuccessfulPods"),
        ({"successfulPodsHistoryTTL": "soon"}, "spec.successfulPodsHistoryTTL"),
        ({"failedPodsHistoryTTL": "-1h"}, "spec.failedPodsHistoryTTL"),
        ({"allowedRunnerImageHosts": ["https://ghcr.io", "ghcr.io"]}, '"https://ghcr.io"'),
    ],
)
def test_a_field_without_effect_is_named_with_what_to_do(spec: a.Json, named: str) -> None:
    """One sentence for each."""
    (text,) = ignored(**spec)
    assert named in text


def test_a_pool_that_cannot_register_is_told_that_and_nothing_else() -> None:
    """What its fields would do is beside the point."""
    assert ignored(token=None, privateKey=None, space="root", driftDetectionRunLimits=LIMITS) == []


def test_each_field_has_a_sentence_of_its_own() -> None:
    """So that each Event can be counted by itself."""
    texts = ignored(space="root", description="ours", keepSuccessfulPods=True, successfulPodsHistoryLimit=1)
    assert len(texts) == len(set(texts)) == 3
