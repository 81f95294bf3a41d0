"""FIPS mode is claimed only when every OpenSSL in use really is in it. Decisions on data, refusals of real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import pytest

from app import fips

ROOT = Path(__file__).parents[3]
GOOD = fips.Library(user="cryptography", version="OpenSSL 3.5.7", restricted=True, sha256=True, md5=False)
OTHER = replace(GOOD, user="ssl and hashlib")

# Asks for FIPS implementations where there is no provider of any.
WITHOUT_PROVIDER = """
openssl_conf = init
[init]
alg_section = algorithms
[algorithms]
default_properties = fips=yes
"""


class Fault(TypedDict, total=False):
    """What differs from a library in FIPS mode."""

    restricted: bool
    sha256: bool
    md5: bool


def test_both_in_fips_mode_is_fips_mode() -> None:
    """Then, and only then, nothing is refused."""
    assert fips.refusal([GOOD, OTHER]) == ""


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault(restricted=False), "isn't restricted"),
        (Fault(restricted=False, md5=True), "isn't restricted"),
        (Fault(sha256=False), "has none"),
        (Fault(md5=True), "gives out MD5"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_one_library_that_is_not_is_enough(fault: Fault, words: str, first: bool) -> None:
    """The refusal names the library at fault, its version, and where the remedy stands."""
    bad = replace(GOOD if first else OTHER, version="OpenSSL 9", **fault)
    reason = fips.refusal([bad, OTHER] if first else [GOOD, bad])
    assert f"the one of {bad.user} (OpenSSL 9) " in reason
    assert words in reason
    assert "docs/fips.md" in reason
    assert "3.5.7" not in reason


def test_every_fault_is_named() -> None:
    """Nobody should have to mend one to hear of the next."""
    reason = fips.refusal([replace(GOOD, restricted=False), replace(OTHER, sha256=False)])
    assert "of cryptography" in reason
    assert "of ssl and hashlib" in reason


def test_nothing_found_is_no_fips_mode() -> None:
    """An empty list proves nothing."""
    assert fips.refusal([])


@pytest.mark.parametrize(
    ("godebug", "asked"),
    [
        ("fips140=only", True),
        ("fips140=on", True),
        ("madvdontneed=1, fips140=only", True),
        ("fips140=only,fips140=off", False),
        ("fips140=off", False),
        ("fips140=", False),
        ("xfips140=only", False),
        ("", False),
    ],
)
def test_asked_for_as_of_a_go_program(godebug: str, asked: bool) -> None:
    """What is documented for installations without Helm asks here, too."""
    assert fips.asked_for_as_in_go({"GODEBUG": godebug}) is asked
    assert not fips.asked_for_as_in_go({})


def run(*flags: str, **environment: str) -> tuple[int, list[dict[str, object]]]:
    """Run the operator without a cluster; return its exit status and its log."""
    addresses = ["--hook-bind-address=127.0.0.1:0", "--health-probe-bind-address=127.0.0.1:0"]
    done = subprocess.run(
        [sys.executable, "-m", "app", "--hooks-only", "--log-format=json", *addresses, *flags],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        (["--enforce-fips140"], {}),
        ([], {"WORKERPOOL_ENFORCE_FIPS140": "true"}),
        ([], {"GODEBUG": "fips140=only"}),
    ],
)
def test_a_process_without_fips_refuses_to_start(
    flags: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    """However it is asked for: exit status 4, both libraries named, and no line that says FIPS mode is on."""
    # The machine's own configuration must not decide this test.
    empty = tmp_path / "openssl.cnf"
    empty.write_text("")
    status, lines = run(*flags, OPENSSL_CONF=str(empty), **environment)
    assert status == 4
    (error,) = [str(line["error"]) for line in lines if line["event"] == "cannot_start"]
    assert "of cryptography (OpenSSL " in error
    assert "of ssl and hashlib (OpenSSL " in error
    assert not [line for line in lines if line["event"] == "FIPS 140 mode"]


def test_asking_openssl_for_what_it_has_not_is_no_fips_mode(tmp_path: Path) -> None:
    """Properties alone, which is all that a switch in a configuration sets, don't pass for FIPS mode."""
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(WITHOUT_PROVIDER)
    probe = "from app import fips_probe; print(fips_probe.of_python()); print(fips_probe.of_cryptography())"
    done = subprocess.run(
        [sys.executable, "-c", f"{probe}; fips_probe.enforce()"],
        cwd=ROOT,
        env={**os.environ, "OPENSSL_CONF": str(configuration)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.count("restricted=True, sha256=False, md5=False") == 2, done.stdout + done.stderr
    assert "app.errors.FipsError" in done.stderr
    assert done.stderr.count("has none (is a FIPS provider loaded?)") == 2
