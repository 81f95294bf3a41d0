"""What a refused dry run of a run Pod means, beyond the cases of the smaller policies."""

import pytest

from app.agent.decisions import refusal
from app.agent.decisions.graces import Graces
from app.agent.decisions.refusal import Refusal
from protocol.runs import Reason

GRACES = Graces(refusal=100.0, container_config=7.0)


@pytest.mark.parametrize(
    ("kind", "text", "reason", "patience"),
    [
        (
            Refusal.FORBIDDEN,
            'pods "x" is forbidden: error looking up service account default/runner: serviceaccount "runner" not found',
            Reason.CONFIG_ERROR,
            7,
        ),
        (
            Refusal.FORBIDDEN,
            'pods "x" is forbidden: pod rejected: RuntimeClass "gvisor" not found',
            Reason.CONFIG_ERROR,
            7,
        ),
        (
            Refusal.INVALID,
            'admission webhook "validate.example" denied the request: no latest tags',
            Reason.POLICY_DENIED,
            0,
        ),
        (
            Refusal.OTHER,
            'admission webhook "validate.example" denied the request without explanation',
            Reason.POLICY_DENIED,
            0,
        ),
        (
            Refusal.FORBIDDEN,
            'pods "x" is forbidden: exceeded quota: runs, requested: cpu=2, used: cpu=9, limited: cpu=10',
            Reason.UNSCHEDULABLE,
            100,
        ),
        (
            Refusal.OTHER,
            'Internal error occurred: failed calling webhook "x": connection refused',
            Reason.POLICY_DENIED,
            100,
        ),
        (Refusal.NOT_FOUND, "the server could not find the requested resource", Reason.CONFIG_ERROR, 100),
    ],
    ids=[
        "service account",
        "runtime class",
        "denied by 400",
        "denied by 500",
        "quota",
        "webhook away",
        "not found",
    ],
)
def test_a_refusal_is_a_verdict_when_its_grace_is_over(
    kind: Refusal, text: str, reason: Reason, patience: int
) -> None:
    """What may pass is waited for as long as the settings say; what was said no to is over at once."""
    assert patience == 0 or refusal.judge(kind, text, patience - 1, GRACES) is None
    outcome = refusal.judge(kind, text, patience, GRACES)
    assert outcome is not None
    assert outcome.reason is reason
    assert text in outcome.message
