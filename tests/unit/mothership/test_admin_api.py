"""The admin API over Flask's test client: authentication, validation, listing."""

from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from mothership.ca import Authority


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer wrong", "Basic admin-token-of-the-tests"])
def test_every_call_needs_the_admin_token(mothership: Any, header: str) -> None:  # noqa: ANN401
    """401, and nothing of the token in the answer."""
    answer = mothership.http.get("/v1/pools", headers={"Authorization": header})
    assert answer.status_code == 401
    assert "admin-token-of-the-tests" not in answer.text


def test_pool_gets_a_token_with_its_certificate(mothership: Any) -> None:  # noqa: ANN401
    """CN is the pool's ULID whatever the request said, and the CA has signed it."""
    token = mothership.token
    certificate = x509.load_pem_x509_certificate(token.certificate.encode())
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert [name.value for name in names] == [mothership.pool]
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(token.ca.encode()))
    assert (token.broker_endpoint, token.api_endpoint) == ("mqtts://127.0.0.1:1", "https://127.0.0.1:2")
    assert token.ca == Authority.load(mothership.files).pem


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"name": "alpha"}, 400, "csr"),
        ({"name": "Not A Name"}, 400, "name"),
        ({"name": "beta", "csr": "junk"}, 400, "csr"),
        ([], 400, "object"),
    ],
)
def test_bad_pool_names_the_field(mothership: Any, body: object, status: int, word: str) -> None:  # noqa: ANN401
    """400."""
    answer = mothership.admin("POST", "/v1/pools", json=body)
    assert answer.status_code == status
    assert word in answer.get_json()["error"]


def test_pool_names_are_unique(mothership: Any) -> None:  # noqa: ANN401
    """409."""
    answer = mothership.admin("POST", "/v1/pools", json={"name": "alpha", "csr": mothership.csr})
    assert (answer.status_code, answer.get_json()["error"]) == (409, "name: there is a pool 'alpha' already")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"pool": "nope"}, "pool: there is no pool 'nope'"),
        ({"commands": []}, "commands: at least one"),
        ({"commands": ["  "]}, "commands[0]"),
        ({"commands": "make"}, "commands"),
        ({"environment": {"1A": "x"}}, "environment: '1A'"),
        ({"environment": {"A": 1}}, "environment.A"),
        ({"source": {"type": "svn", "url": "x"}}, "source"),
        ({"source": {"type": "git", "url": "--upload-pack=evil"}}, "source.url"),
        ({"source": {"type": "git", "url": "https://x", "ref": "-x"}}, "source.ref"),
        ({"source": {"type": "git", "url": "https://x", "commit": "main"}}, "source.commit"),
        ({"source": {"type": "git", "url": "https://x", "projectRoot": "../up"}}, "source.projectRoot"),
        ({"runnerImage": "two words"}, "runnerImage"),
        ({"runnerImage": ["x"]}, "runnerImage"),
        ({"tool": "two words"}, "tool"),
        ({"tool": "x" * 65}, "tool"),
        ({"tool": ["ansible"]}, "tool"),
    ],
)
def test_bad_run_names_the_field(mothership: Any, fields: dict[str, object], word: str) -> None:  # noqa: ANN401
    """400, and nothing is queued."""
    body = {"pool": "alpha", "commands": ["true"], **fields}
    answer = mothership.admin("POST", "/v1/runs", json=body)
    assert answer.status_code == 400
    assert word in answer.get_json()["error"]
    assert mothership.admin("GET", "/v1/runs").get_json() == {"runs": []}


def test_body_that_is_no_json_or_too_large_is_refused(mothership: Any) -> None:  # noqa: ANN401
    """400 and 413."""
    assert mothership.admin("POST", "/v1/runs", data=b"{").status_code == 400
    assert mothership.admin("POST", "/v1/runs", data=b"x" * 2_000_000).status_code == 413


@pytest.mark.parametrize("path", ["/v1/runs/X", "/v1/runs/X/logs", "/v1/workers?pool=nope", "/v1/nothing"])
def test_what_is_unknown_is_404_with_a_sentence(mothership: Any, path: str) -> None:  # noqa: ANN401
    """JSON, always."""
    answer = mothership.admin("GET", path)
    assert answer.status_code == 404
    assert answer.get_json()["error"]


def test_pool_list_counts_workers_and_runs(mothership: Any) -> None:  # noqa: ANN401
    """One busy worker, one run waiting."""
    mothership.granted()
    mothership.trigger()
    (pool,) = mothership.admin("GET", "/v1/pools").get_json()["pools"]
    counts = {name: pool[name] for name in ("workers", "onlineWorkers", "queuedRuns", "activeRuns")}
    assert counts == {"workers": 1, "onlineWorkers": 1, "queuedRuns": 1, "activeRuns": 1}


def test_stop_of_a_queued_and_of_a_finished_run(mothership: Any) -> None:  # noqa: ANN401
    """Canceled at once; a second stop changes nothing."""
    run = mothership.trigger()
    for _ in range(2):
        shown = mothership.admin("POST", f"/v1/runs/{run}/stop", json={}).get_json()
        assert (shown["state"], shown["finished"]) == ("canceled", True)
    assert [item["state"] for item in shown["history"]] == ["queued", "canceled"]


def test_log_of_a_run_that_ended_without_any_is_finished(mothership: Any) -> None:  # noqa: ANN401
    """`--follow` ends."""
    run = mothership.trigger()
    mothership.admin("POST", f"/v1/runs/{run}/stop", json={})
    answer = mothership.admin("GET", f"/v1/runs/{run}/logs")
    assert (answer.data, answer.headers["X-Run-Finished"], answer.headers["X-Run-State"]) == (
        b"",
        "true",
        "canceled",
    )


def test_drain_of_an_unknown_worker_is_404(mothership: Any) -> None:  # noqa: ANN401
    """Nothing to drain."""
    assert mothership.admin("POST", "/v1/workers/NOPE/drain", json={}).status_code == 404


def test_health_needs_no_token(mothership: Any) -> None:  # noqa: ANN401
    """Probes have none."""
    assert mothership.http.get("/healthz").get_json()["status"] == "ok"
