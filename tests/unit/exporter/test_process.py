"""The exporter as a process: scraped over HTTP, against a strict double of the API."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics

from tests.unit.exporter.api_double import KEY_ID, KEY_SECRET, ApiDouble, Script, pool, serving
from tests.unit.exporter.process import PATIENCE, Exporter, exporting, ran, serve_arguments
from tests.unit.launcher.certificates import make_certificates

POOL = ",worker_pool_id=01JPOOL,worker_pool_name=my-pool"
RELEASED = {
    "spacelift_public_worker_pool_runs_pending": 2,
    "spacelift_public_worker_pool_workers_busy": 1,
    "spacelift_public_worker_pool_parallelism": 3,
    f"spacelift_worker_pool_runs_pending{POOL}": 7,
    f"spacelift_worker_pool_workers_busy{POOL}": 1,
    f"spacelift_worker_pool_workers{POOL}": 2,
    f"spacelift_worker_pool_workers_drained{POOL}": 1,
    "spacelift_current_billing_period_start_timestamp_seconds": 1780000000,
    "spacelift_current_billing_period_end_timestamp_seconds": 1782600000,
    "spacelift_current_billing_period_used_private_seconds": 600,
    "spacelift_current_billing_period_used_public_seconds": 1200,
    "spacelift_current_billing_period_used_seats": 5,
    "spacelift_current_stacks_count_by_state,state=FINISHED": 4,
    "spacelift_current_resources_count_by_drift,state=DRIFTED": 2,
    "spacelift_current_avg_stack_size_by_resource_count": 12.5,
    "spacelift_current_average_run_duration": 6e10,
    "spacelift_current_median_run_duration": 5e10,
}
"""What the public exporter gives of the double's account, but for its duration and build."""

BY_NEED = {
    f"spacelift_worker_pool_runs_schedulable{POOL}": 4,
    "spacelift_public_worker_pool_runs_schedulable": 1,
    "spacelift_runs_needing_approval": 2,
    "spacelift_runs_requiring_attention": 1,
}


@pytest.fixture(scope="module")
def api() -> Iterator[ApiDouble]:
    """Serve the API, for one exporter."""
    with serving() as double:
        yield double


@pytest.fixture(scope="module")
def shared(api: ApiDouble) -> Iterator[Exporter]:
    """Run one exporter for the tests that leave it as it was."""
    with exporting(api.endpoint, "--scrape-timeout", "20s") as running:
        yield running


@pytest.fixture
def script(api: ApiDouble) -> Iterator[Script]:
    """Give a test the double's script, which is as new afterwards."""
    yield api.script
    fresh = Script()
    for name in fresh.__dataclass_fields__:
        if name not in ("tokens", "issued"):
            setattr(api.script, name, getattr(fresh, name))


def collectors(values: dict[str, float], what: str) -> dict[str, float]:
    """Return `success` or `supported` by part."""
    prefix = f"spacelift_scrape_collector_{what},collector="
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def test_every_series_of_the_public_exporter_is_there(shared: Exporter, script: Script) -> None:
    """With its value; and those that tell runs by what they need."""
    script.operations()
    values = shared.get().values()
    assert {name: values.get(name) for name in {**RELEASED, **BY_NEED}} == {**RELEASED, **BY_NEED}
    assert values["spacelift_scrape_duration_seconds"] > 0
    (build,) = [name for name in values if name.startswith("spacelift_build_info")]
    assert ",commit=unknown,goversion=python3." in build
    assert build.endswith(",version=0.1.0")
    assert len(values) == 19 + len(BY_NEED) + 2 * 6
    assert set(collectors(values, "success").values()) == {1}
    assert sorted(script.operations()) == [
        "PrometheusExporter",
        "PrometheusExporterSchedulableRuns",
        "PrometheusExporterWaitingRuns",
    ]


def test_nineteen_lines_and_one_query_without_runs_by_need() -> None:
    """As measured with the public exporter, but for the two series about each part."""
    with serving() as api, exporting(api.endpoint, "--runs-by-need=false") as exporter:
        api.script.operations()
        values = exporter.get().values()
        assert len([name for name in values if "_scrape_collector_" not in name]) == 19
        assert api.script.operations() == ["PrometheusExporter"]


def test_openmetrics_is_spoken_to_who_asks(shared: Exporter) -> None:
    """Prometheus does; the values are the same."""
    answer = shared.get(accept="application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
    assert answer.kind.startswith("application/openmetrics-text")
    found = {family.name: family for family in openmetrics(answer.text)}  # type: ignore[no-untyped-call]
    assert found["spacelift_worker_pool_runs_pending"].samples[0].value == 7
    assert {family.type for family in found.values()} == {"gauge"}


def test_paths_are_those_that_users_know(shared: Exporter) -> None:
    """A page with a link, and a text for probes that asks the API nothing."""
    assert 'href="/metrics"' in shared.get("/").text
    health = shared.get("/health")
    assert (health.status, health.kind) == (200, "text/plain; charset=utf-8")


def test_pools_come_and_go_with_the_answer(shared: Exporter, script: Script) -> None:
    """A pool that is gone has no series; an account without pools has none at all."""
    script.data["workerPools"] = [pool("a", "first", pending=1), pool("b", 'qu"oted\\', drained=2)]
    values = shared.get().values()
    assert values["spacelift_worker_pool_runs_pending,worker_pool_id=a,worker_pool_name=first"] == 1
    assert values['spacelift_worker_pool_workers_drained,worker_pool_id=b,worker_pool_name=qu"oted\\'] == 2
    assert f"spacelift_worker_pool_workers{POOL}" not in values
    script.data["workerPools"] = []
    assert not [name for name in shared.get().values() if name.startswith("spacelift_worker_pool_")]


def test_a_token_that_is_refused_is_renewed_once_within_the_scrape(shared: Exporter, script: Script) -> None:
    """By the text `unauthorized`, with status 200; the three queries of a scrape share one exchange."""
    script.revoke()
    script.operations()
    assert shared.get().values()[f"spacelift_worker_pool_runs_pending{POOL}"] == 7
    asked = script.operations()
    assert asked.count("") == 1
    assert asked.count("PrometheusExporter") in (1, 2)
    assert shared.get().status == 200
    assert "" not in script.operations()


def test_a_key_that_is_refused_fails_scrapes_until_it_is_accepted_again(
    shared: Exporter, script: Script
) -> None:
    """With status 500 and the reason, not with empty queues."""
    for refusal in ("unauthorized", "null"):
        script.revoke()
        script.key_is_refused = refusal
        answer = shared.get()
        assert answer.status == 500
        assert "An error has occurred while serving metrics:" in answer.text
        assert "API key" in answer.text
    script.key_is_refused = ""
    assert shared.get().status == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": 500, "raw": b"<html>proxy</html>"}, "HTTP status 500: <html>proxy</html>"),
        ({"raw": b"not json"}, "isn't a JSON object"),
        ({"raw": b'{"data":null}'}, "data: expected an object"),
        ({"raw": b'{"data":{}}'}, "workerPools: expected a list, not null or nothing"),
        ({"raw": b'{"data":{"workerPools":[]},"errors":[{"message":"half broken"}]}'}, "half broken"),
        ({"raw": b'{"data":{"workerPools":[{"id":"a","name":"a","pendingRuns":1.0}]}}'}, "workerPools[0]"),
    ],
)
def test_an_answer_that_cant_be_used_fails_the_scrape(
    shared: Exporter, script: Script, change: dict[str, object], words: str
) -> None:
    """With status 500 and what is wrong: pools that are scaled by the figures must not see zeros."""
    for name, value in change.items():
        setattr(script, name, value)
    answer = shared.get()
    assert (answer.status, answer.kind) == (500, "text/plain; charset=utf-8")
    assert words in answer.text
    assert "spacelift_" not in answer.text


def test_a_secret_that_the_api_repeats_gets_neither_into_answers_nor_logs(
    shared: Exporter, script: Script
) -> None:
    """Whatever the API says of the key or of the token; the fixture reads the log."""
    script.raw = f'{{"errors":[{{"message":"bad {KEY_SECRET} or jwt-1-a8c3e7"}}]}}'.encode()
    answer = shared.get()
    assert answer.status == 500
    assert KEY_SECRET not in answer.text
    assert "a8c3e7" not in answer.text
    assert "bad [redacted] or [redacted]" in answer.text


def test_status_401_renews_the_token_too(shared: Exporter, script: Script) -> None:
    """The public exporter takes it for a failure until the token's time is up."""
    script.status, script.raw = 401, b"Unauthorized"
    script.operations()
    assert "HTTP status 401" in shared.get().text
    assert "" in script.operations()


def test_a_connection_that_the_api_closes_is_made_again(shared: Exporter, script: Script) -> None:
    """A proxy closes those that were idle."""
    script.hang_up = 1
    assert shared.get().status == 200
    assert script.hang_up == 0


def test_a_redirect_takes_the_token_nowhere(shared: Exporter, script: Script) -> None:
    """The address is told instead."""
    script.redirect = "https://elsewhere.example.com/graphql"
    assert "redirects to elsewhere.example.com" in shared.get().text


def test_roots_that_are_null_leave_their_series_out(shared: Exporter, script: Script) -> None:
    """And a metric says so; the pools are there."""
    script.data |= {"publicWorkerPool": None, "metrics": None}
    values = shared.get().values()
    assert values[f"spacelift_worker_pool_runs_pending{POOL}"] == 7
    assert "spacelift_public_worker_pool_runs_pending" not in values
    success = collectors(values, "success")
    assert (success["publicworkerpool"], success["aggregates"], success["usage"]) == (0, 0, 1)
    assert set(collectors(values, "supported").values()) == {1}


def test_a_backend_without_the_newer_fields_is_asked_for_them_once() -> None:
    """As it has all that the released exporter asks; one field is missing, or both queries' are."""
    lacking = ("schedulableRunsCount", "schedulableRunsCount", "needsApprovalRuns")
    with serving() as api:
        api.script.lacking = lacking
        with exporting(api.endpoint) as exporter:
            values = exporter.get().values()
            assert values[f"spacelift_worker_pool_runs_pending{POOL}"] == 7
            assert not {*BY_NEED} & {*values}
            supported = collectors(values, "supported")
            assert (supported["schedulableruns"], supported["waitingruns"], supported["usage"]) == (0, 0, 1)
            api.script.operations()
            assert exporter.get().status == 200
            assert api.script.operations() == ["PrometheusExporter"]


def test_a_backend_that_keeps_all_but_pools_from_api_keys_still_gives_pools() -> None:
    """Where the public exporter's release fails; asked for the rest again only later."""
    with serving() as api:
        api.script.gated = True
        with exporting(api.endpoint) as exporter:
            values = exporter.get().values()
            assert values[f"spacelift_worker_pool_runs_pending{POOL}"] == 7
            assert values[f"spacelift_worker_pool_runs_schedulable{POOL}"] == 4
            assert "spacelift_current_billing_period_used_seats" not in values
            supported = collectors(values, "supported")
            assert [name for name, value in supported.items() if value] == ["workerpools", "schedulableruns"]
            api.script.operations()
            exporter.get()
            assert sorted(api.script.operations()) == [
                "PrometheusExporter",
                "PrometheusExporterSchedulableRuns",
            ]


def test_a_token_near_its_end_is_renewed_before_it_is_used() -> None:
    """The API never has to refuse one."""
    with serving() as api:
        api.script.token_seconds = 29
        with exporting(api.endpoint, "--runs-by-need=false") as exporter:
            api.script.operations()
            exporter.get().values()
            assert api.script.operations() == ["", "PrometheusExporter"]


@pytest.mark.parametrize("slow", ["delay", "drip"])
def test_a_slow_api_fails_the_scrape_in_time(slow: str) -> None:
    """Whether nothing comes, or a byte now and then."""
    with serving() as api, exporting(api.endpoint, "-t", "700ms") as exporter:
        setattr(api.script, slow, {"delay": 3.0, "drip": 0.3}[slow])
        answer = exporter.get()
        assert answer.status == 500
        assert "didn't answer in time" in answer.text


def test_an_authority_of_ones_own_is_trusted_when_it_is_given(tmp_path: Path) -> None:
    """Otherwise the exporter doesn't start, and says why."""
    certificates = make_certificates(tmp_path)
    with serving(certificates) as api:
        with exporting(api.endpoint, "--ca-cert-path", str(certificates.ca)) as exporter:
            assert exporter.get().status == 200
        status, _, logged = ran(serve_arguments(api.endpoint))
        assert status == 1
        assert "certificate isn't accepted" in logged
        status, _, logged = ran(serve_arguments(api.endpoint, "--ca-cert-path", str(certificates.key)))
        assert status == 1
        assert "no certificate in it" in logged


def test_the_secrets_file_is_read_again_at_each_exchange(tmp_path: Path) -> None:
    """Tokens of OIDC keys rotate; white space around them is none of theirs."""
    file = tmp_path / "secret"
    file.write_text(f"\n {KEY_SECRET}\n")
    with (
        serving() as api,
        exporting(api.endpoint, "--api-key-secret-file", str(file), secret="") as exporter,
    ):
        assert exporter.get().status == 200
        api.script.secret = "rotated-a8c3e7"
        api.script.revoke()
        assert "isn't accepted" in exporter.get().text
        file.write_text("rotated-a8c3e7")
        assert exporter.get().status == 200
        api.script.revoke()
        file.unlink()
        assert "--api-key-secret-file" in exporter.get().text


def test_a_proxy_is_used_as_the_variables_say() -> None:
    """With its login, which is told to nobody else; the fixture's variable leaves loopback out."""
    with serving() as proxy:
        proxy.script.base = "http://api.invalid"
        environment = {"http_proxy": proxy.endpoint.replace("//", "//user:pass%20word@")}
        with exporting("http://api.invalid", environment=environment) as exporter:
            assert exporter.get().status == 200
        logins = {request.headers.get("Proxy-Authorization") for request in proxy.script.requests}
        assert logins == {f"Basic {base64.b64encode(b'user:pass word').decode()}"}


@pytest.mark.parametrize("proxy", ["socks://a:b-secret@c", "http://a:b-secret@[c"])
def test_a_proxy_that_cant_be_meant_is_refused_without_its_login(proxy: str) -> None:
    """By its variable's name."""
    status, _, logged = ran(serve_arguments("https://api.invalid"), {"https_proxy": proxy})
    assert status == 1
    assert "HTTPS_PROXY: expected a URL" in logged
    assert "b-secret" not in logged


def test_everything_can_be_set_by_variables() -> None:
    """By those that users have."""
    with serving() as api:
        environment = {
            "SPACELIFT_PROMEX_API_ENDPOINT": f"{api.endpoint}/",
            "SPACELIFT_PROMEX_API_KEY_ID": KEY_ID,
            "SPACELIFT_PROMEX_API_KEY_SECRET": KEY_SECRET,
            "SPACELIFT_PROMEX_SCRAPE_TIMEOUT": "10s",
            "SPACELIFT_PROMEX_RUNS_BY_NEED": "false",
            "SPACELIFT_PROMEX_COMMIT": "abc123",
        }
        with exporting(api.endpoint, environment=environment) as exporter:
            assert any(",commit=abc123," in name for name in exporter.get().values())


def test_a_stop_waits_for_the_scrape_under_way() -> None:
    """It is answered, nothing new is accepted, and the status is 0."""
    with serving() as api, exporting(api.endpoint, "--scrape-timeout", "30s") as exporter:
        answers = []
        api.script.requests.clear()
        api.script.delay = 1.0
        scrape = threading.Thread(target=lambda: answers.append(exporter.get()))
        scrape.start()
        deadline = time.monotonic() + PATIENCE
        while not api.script.requests:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        exporter.process.terminate()
        exporter.wait_for("stopped")
        scrape.join()
        assert answers[0].status == 200


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"key_is_refused": "unauthorized"}, "can't be exchanged for a token: unauthorized"),
        ({"key_is_refused": "null"}, "the API key isn't accepted"),
        ({"plain_status": 401}, "HTTP status 401: Unauthorized"),
        ({"plain_status": 500}, "HTTP status 500"),
    ],
)
def test_without_a_token_it_doesnt_start(change: dict[str, object], words: str) -> None:
    """Status 1, as users know it, and the port never opens."""
    with serving() as api:
        for name, value in change.items():
            setattr(api.script, name, value)
        status, _, logged = ran(serve_arguments(api.endpoint))
    assert status == 1
    assert words in logged
    assert "listening" not in logged
    assert KEY_SECRET not in logged


def test_without_a_backend_it_doesnt_start() -> None:
    """Nobody listens there."""
    status, _, logged = ran(serve_arguments("http://127.0.0.1:1"))
    assert status == 1
    assert "no connection to the API: Connection refused" in logged
