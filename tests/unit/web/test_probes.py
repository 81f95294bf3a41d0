"""Facts about the probes."""

from flask.testing import FlaskClient

from app.web.probes import Probe
from tests.unit.web.health import ToldHealth


def test_probes_answer_what_the_operator_knows_of_itself(client: FlaskClient) -> None:
    """200, with what was looked at."""
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.get_json() == {"ok": True, "checks": {"watches": "heard 1 s ago"}}
    assert client.get("/readyz").status_code == 200


def test_a_stalled_operator_fails_its_probe(client: FlaskClient, health: ToldHealth) -> None:
    """503, with the reason; liveness and readiness are judged apart."""
    health.prepared = Probe(ok=False, checks={"watches": "silent for 90 s"})
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json()["checks"] == {"watches": "silent for 90 s"}
    assert client.get("/healthz").status_code == 200
