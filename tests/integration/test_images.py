"""The operator's image, built from its Dockerfile: what is in it, what isn't, and that it runs as it will in a cluster.

Needs root, buildah and debootstrap: it stands on the local stand-in of the base. Without them it is skipped, and says so.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from images import catalogue, standin
from tests.integration.image import Built, build, mounted, output, surplus, unlisted

OPERATOR = catalogue.IMAGES[0]
SERVES = """
cd /srv
python -m app --hooks-only --hook-bind-address=127.0.0.1:8080 --health-probe-bind-address=127.0.0.1:8081 \
    --log-format=json "$@" &
python - <<'END'
import time, urllib.request
for attempt in range(300):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8081/readyz", timeout=5).status)
        break
    except OSError:
        time.sleep(0.2)
END
kill $!
wait
"""

# What the operator does with cryptography: reads a pool's key, opens a sealed payload, speaks TLS.
WORKS = """
import ssl
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from protocol.sealing import OpeningKey, RunPayload, SealingKey

key = rsa.generate_private_key(65537, 2048)
private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
payload = RunPayload("https://mothership", "token", bytes(32))
assert OpeningKey(private).open(SealingKey(public).seal(payload)) == payload
names = [cipher["name"] for cipher in ssl.create_default_context().get_ciphers()]
print("TLS_AES_256_GCM_SHA384" in names, any("CHACHA" in name for name in names))
"""


@pytest.fixture(scope="module")
def operator() -> Iterator[Built]:
    """Build the operator's image by the documented command."""
    yield from build("operator", 250)


pytestmark = pytest.mark.timeout(1800)


def test_its_user_is_a_number_and_its_labels_tell_what_it_is(operator: Built) -> None:
    """Kubernetes refuses a name where runAsNonRoot is set; the revision is that of the tree."""
    assert operator.config["User"] == "1983:1983"
    assert operator.config["Entrypoint"] == ["python", "-m", "app"]
    labels = {name.rpartition("image.")[2]: text for name, text in operator.config["Labels"].items()}
    revision = output("git", "rev-parse", "HEAD").strip()
    assert labels["title"] == "workerpool-operator"
    assert labels["version"] == catalogue.version()
    assert labels["revision"].removesuffix("-changed") == revision
    assert labels["licenses"] == "Apache-2.0"
    assert labels["base.name"] == catalogue.BASE
    assert labels["source"]


def test_nothing_in_it_installs_builds_or_changes_users(operator: Built) -> None:
    """No installer of Python's, no compiler, no setuid program, in no layer: there is one root, and it has none."""
    assert surplus(operator) == []
    found = operator.run("python", "-c", "import pip")
    assert "No module named 'pip'" in found.stderr


def test_its_bill_of_materials_names_every_requirement(operator: Built) -> None:
    """With its version: Python's packages as locked, the interpreter, and every Debian package."""
    assert unlisted(operator, "workerpool-operator", "operator") == set()


def test_its_bytecode_needs_neither_times_nor_writing(operator: Built) -> None:
    """A read-only root with other times than the build's must not make every start compile everything."""
    for folder in ("srv", "opt/venv", _library(operator)):
        sources = list((operator.root / folder).rglob("*.py"))
        compiled = list((operator.root / folder).rglob("__pycache__/*.pyc"))
        assert len(compiled) >= 0.95 * len(sources)
        # PEP 552: bit 0 says by hash, bit 1 that the source is to be checked.
        assert {path.read_bytes()[4:8] for path in compiled} == {b"\x01\0\0\0"}


def test_it_runs_as_1983_on_a_read_only_root(operator: Built) -> None:
    """The help is printed, and nothing can be written but /tmp."""
    assert operator.run("id", "-u").stdout.strip() == "1983"
    assert operator.run("touch", "/srv/x").returncode != 0
    assert operator.run("touch", "/tmp/x").returncode == 0  # noqa: S108 - the container's own
    helped = operator.run("sh", "-c", "cd /srv && python -m app --help")
    assert helped.returncode == 0, helped.stderr
    assert "--hook-bind-address" in helped.stdout


def test_it_serves(operator: Built) -> None:
    """Everything that the operator imports is there: it gets ready."""
    served = operator.run("sh", "-c", SERVES, "sh")
    assert served.stdout.strip() == "200", served.stderr


def test_it_refuses_fips_mode_and_says_why(operator: Built) -> None:
    """The plain image has two OpenSSLs and no FIPS provider."""
    refused = operator.run(
        "sh", "-c", "cd /srv && exec python -m app --hooks-only --enforce-fips140 --log-format=json"
    )
    assert refused.returncode == 4
    (line,) = [json.loads(line) for line in refused.stderr.splitlines() if '"cannot_start"' in line]
    assert "the one of cryptography (OpenSSL " in line["error"]
    assert "the one of ssl and hashlib (OpenSSL 3." in line["error"]


@pytest.fixture(scope="module")
def with_fips() -> Iterator[Built]:
    """Return the FIPS make of the image; it compiles for minutes, so a test run doesn't build it."""
    tag = f"workerpool-operator:{catalogue.version()}{catalogue.FIPS.flavour}"
    reason = standin.missing()
    if (
        not reason
        and subprocess.run(["buildah", "inspect", tag], capture_output=True, check=False).returncode
    ):
        reason = f"{tag} isn't here: make images BASE=local ONLY=operator-fips builds it in some minutes"
    if reason:
        pytest.skip(f"FIPS MODE IS NOT TESTED WITH A REAL PROVIDER: {reason}")
    yield from mounted(tag)


def test_with_a_provider_fips_mode_is_on_and_said(with_fips: Built) -> None:
    """One OpenSSL for both, its FIPS provider loaded, and the line that the field knows."""
    served = with_fips.run("sh", "-c", SERVES, "sh", "--enforce-fips140")
    assert served.stdout.strip() == "200", served.stderr
    (line,) = [json.loads(line) for line in served.stderr.splitlines() if '"FIPS 140 mode"' in line]
    assert line["enabled"] is True
    assert len(set(line["openssl"].values())) == 1


def test_what_the_operator_does_is_approved(with_fips: Built) -> None:
    """In FIPS mode it can still do its work; and what isn't approved is really gone."""
    worked = with_fips.run("sh", "-c", 'cd /srv && exec python -c "$0"', WORKS)
    assert worked.stdout.strip() == "True False", worked.stderr


def test_switched_off_again_the_same_image_refuses(with_fips: Built) -> None:
    """What counts is what the process uses, not what the image was built for."""
    off = "cd /srv && OPENSSL_CONF=/dev/null exec python -m app --hooks-only --enforce-fips140 --log-format=json"
    refused = with_fips.run("sh", "-c", off)
    assert refused.returncode == 4
    assert refused.stderr.count('"FIPS 140 mode"') == 0


def _library(built: Built) -> str:
    """Return the folder of Python's own library, which differs between the base and its stand-in."""
    (found,) = [
        path.parent
        for place in ("usr/lib", "usr/local/lib")
        for path in (built.root / place).glob("python3.*/os.py")
    ]
    return str(found.relative_to(built.root))
