"""Settings come from flags, environment and defaults, in that order, and nothing else is accepted."""

from __future__ import annotations

import dataclasses

import pytest

from app.agent.decisions.graces import Graces
from app.assembly import graces_of
from app.settings import Address, Settings, flag_of, parse, parse_address, variable_of


def test_the_defaults_are_these() -> None:
    """The whole of what an empty command line means."""
    assert parse([], {}) == Settings(
        hook_bind_address=Address("", 8080),
        health_probe_bind_address=Address("", 8081),
        kubeconfig="",
        namespaces=(),
        controller_namespace="spacelift-worker-controller-system",
        threads=16,
        agent_threads=16,
        image_pull_grace=30.0,
        container_config_grace=30.0,
        unschedulable_grace=300.0,
        run_pod_grace=5.0,
        refusal_grace=300.0,
        deleted_pod_grace=10.0,
        node_lost_grace=300.0,
        launcher_report_grace=75.0,
        deregistration_grace=60.0,
        verdict_report_grace=60.0,
        native_sidecars=None,
        mqtt_publish_rate=None,
        hooks_only=False,
        log_level="info",
        log_format="auto",
        leader_elect=False,
        replica_name="",
        lease_duration=15.0,
        lease_renew_deadline=10.0,
        lease_renew_interval=5.0,
        metrics_bind_address=None,
        metrics_secure=True,
        enable_http2=False,
        enforce_fips140=False,
    )


def test_every_flag_is_parsed() -> None:
    """The whole of a full command line."""
    arguments = [
        "--hook-bind-address=127.0.0.1:9000",
        "--health-probe-bind-address=[::]:9001",
        "--kubeconfig=/etc/kubeconfig",
        "--namespaces=one,two",
        "--namespaces",
        "three",
        "--controller-namespace=operators",
        "--threads=4",
        "--agent-threads=8",
        "--image-pull-grace=1m",
        "--container-config-grace=1m30s",
        "--unschedulable-grace=15m",
        "--run-pod-grace=2.5s",
        "--refusal-grace=1h",
        "--deleted-pod-grace=0",
        "--node-lost-grace=10m",
        "--launcher-report-grace=2m",
        "--deregistration-grace=1500ms",
        "--verdict-report-grace=90s",
        "--native-sidecars=true",
        "--mqtt-publish-rate=100",
        "--hooks-only",
        "--log-level=DEBUG",
        "--log-format=json",
        "--leader-elect",
        "--replica-name=operator-0.operators",
        "--lease-duration=1m",
        "--lease-renew-deadline=40s",
        "--lease-renew-interval=10s",
        "--metrics-bind-address=:8443",
        "--metrics-secure=false",
        "--enable-http2=true",
        "--enforce-fips140",
    ]
    assert parse(arguments, {}) == Settings(
        hook_bind_address=Address("127.0.0.1", 9000),
        health_probe_bind_address=Address("::", 9001),
        kubeconfig="/etc/kubeconfig",
        namespaces=("one", "two", "three"),
        controller_namespace="operators",
        threads=4,
        agent_threads=8,
        image_pull_grace=60.0,
        container_config_grace=90.0,
        unschedulable_grace=900.0,
        run_pod_grace=2.5,
        refusal_grace=3600.0,
        deleted_pod_grace=0.0,
        node_lost_grace=600.0,
        launcher_report_grace=120.0,
        deregistration_grace=1.5,
        verdict_report_grace=90.0,
        native_sidecars=True,
        mqtt_publish_rate=100.0,
        hooks_only=True,
        log_level="debug",
        log_format="json",
        leader_elect=True,
        replica_name="operator-0.operators",
        lease_duration=60.0,
        lease_renew_deadline=40.0,
        lease_renew_interval=10.0,
        metrics_bind_address=Address("", 8443),
        metrics_secure=False,
        enable_http2=True,
        enforce_fips140=True,
    )
    assert {argument.split("=")[0] for argument in arguments if argument.startswith("--")} == {
        flag_of(field.name) for field in dataclasses.fields(Settings)
    }


def test_the_environment_beats_the_default_and_the_flag_beats_both() -> None:
    """WORKERPOOL_<NAME> is the variable of --<name>."""
    environment = {"WORKERPOOL_THREADS": "3", "WORKERPOOL_NAMESPACES": "a, b", "THREADS": "9"}
    assert (parse([], environment).threads, parse([], environment).namespaces) == (3, ("a", "b"))
    assert parse(["--threads=5"], environment).threads == 5
    assert variable_of("hook_bind_address") == "WORKERPOOL_HOOK_BIND_ADDRESS"


def test_every_grace_is_a_setting_with_the_same_default() -> None:
    """No time to wait is hidden in the agent: what it has, a flag sets."""
    assert graces_of(parse([], {})) == Graces()
    given = parse([f"--{field.name.replace('_', '-')}-grace=7s" for field in dataclasses.fields(Graces)], {})
    assert set(dataclasses.asdict(graces_of(given)).values()) == {7.0}


@pytest.mark.parametrize(("text", "wanted"), [("auto", None), ("True", True), ("f", False)])
def test_native_sidecars_are_found_out_or_chosen(text: str, wanted: bool | None) -> None:
    """Auto is the default; a cluster with the feature switched off needs a no."""
    assert parse([f"--native-sidecars={text}"], {}).native_sidecars is wanted


@pytest.mark.parametrize(("text", "wanted"), [("auto", None), ("0", 0.0), ("12.5", 12.5)])
def test_the_publish_rate_is_found_out_or_chosen(text: str, wanted: float | None) -> None:
    """Auto is the default; another broker of the same limits needs a number."""
    assert parse([f"--mqtt-publish-rate={text}"], {}).mqtt_publish_rate == wanted


def test_the_last_of_a_repeated_flag_counts() -> None:
    """As in Go; a chart appends to a list of arguments."""
    assert parse(["--threads=5", "--threads=6"], {}).threads == 6


@pytest.mark.parametrize(
    ("arguments", "environment", "complaint"),
    [
        (["--no-such-flag"], {}, "--no-such-flag"),
        (["--thread=3"], {}, "--thread=3"),
        (["surplus"], {}, "surplus"),
        (["--hook-bind-address=8080"], {}, "--hook-bind-address: expected HOST:PORT"),
        (["--hook-bind-address=:99999"], {}, "--hook-bind-address"),
        (["--hook-bind-address=0"], {}, "--hook-bind-address"),
        (["--metrics-secure=maybe"], {}, "--metrics-secure: expected true or false"),
        (["--threads=0"], {}, "--threads: expected a number"),
        (["--namespaces=Upper"], {}, "'Upper' is not the name of a namespace"),
        (["--verdict-report-grace=0"], {}, "--verdict-report-grace: expected 1s at least"),
        (["--unschedulable-grace=300"], {}, "--unschedulable-grace: expected a duration such as 30s"),
        (["--node-lost-grace=300h"], {}, "--node-lost-grace: expected 168h at most"),
        (["--native-sidecars=maybe"], {}, "--native-sidecars: expected auto, true or false"),
        (["--mqtt-publish-rate=-1"], {}, "--mqtt-publish-rate: expected auto, or a number"),
        (["--mqtt-publish-rate=nan"], {}, "--mqtt-publish-rate: expected auto, or a number"),
        (["--replica-name=Upper"], {}, "--replica-name: expected lower-case letters"),
        (["--replica-name=" + "a" * 201], {}, "--replica-name: expected lower-case letters"),
        (
            ["--lease-duration=10s"],
            {},
            "expected --lease-renew-interval < --lease-renew-deadline < --lease-duration",
        ),
        (["--lease-renew-interval=10s"], {}, "expected --lease-renew-interval < --lease-renew-deadline"),
        (["--log-level=loud"], {}, "--log-level: expected one of debug"),
        ([], {"WORKERPOOL_THREADS": "many"}, "WORKERPOOL_THREADS: expected a number"),
    ],
)
def test_what_cannot_be_meant_ends_with_status_2_and_names_it(
    arguments: list[str], environment: dict[str, str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on standard error says which setting and what was expected."""
    with pytest.raises(SystemExit) as exit_info:
        parse(arguments, environment)
    assert exit_info.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":8080", "", 8080),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("localhost:80", "localhost", 80),
        ("[::1]:443", "::1", 443),
        ("127.0.0.1:0", "127.0.0.1", 0),
    ],
)
def test_addresses_are_written_as_go_writes_them(text: str, host: str, port: int) -> None:
    """A parsed address prints as it was given."""
    assert parse_address(text) == Address(host, port)
    assert str(Address(host, port)) == text


def test_settings_without_effect_are_named() -> None:
    """Nobody may believe that metrics are served."""
    asked = parse(["--leader-elect", "--metrics-bind-address=:8443", "--enable-http2"], {})
    assert [warning.split(" ")[0] for warning in asked.warnings()] == [
        "--metrics-bind-address",
        "--enable-http2",
    ]
    assert not list(parse([], {}).warnings())
