"""The operator's image, built from its Dockerfile: what is in it, what isn't, and that it runs as it will in a cluster.

Needs root, buildah and debootstrap: it stands on the local stand-in of the base. Without them it is skipped, and says so.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from images import catalogue, standin

OPERATOR = catalogue.IMAGES[0]
# A Pod's view: the image's root read-only, /tmp writable, nothing but loopback. Pid 1 dies, and all goes.
ENTER = """
set -eu
root=$1; shift
mount --bind "$root" "$root"
mount -o remount,ro,bind "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/tmp"
mount --rbind /dev "$root/dev"
ip link set lo up
exec env -i PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp /usr/sbin/chroot --userspec=1983:1983 "$root" "$@"
"""
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


@dataclass(frozen=True)
class Built:
    """An image, and its file system mounted."""

    root: Path
    config: dict[str, Any]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as UID 1983 on a read-only root without a network."""
        namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        return subprocess.run(
            [*namespaces, "sh", "-c", ENTER, "sh", str(self.root), *command],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


def mounted(tag: str) -> Iterator[Built]:
    """Mount an image while a test looks at it."""
    inspected = json.loads(_output("buildah", "inspect", "--type=image", tag))
    container = _output("buildah", "from", "--pull-never", tag).strip()
    try:
        yield Built(Path(_output("buildah", "mount", container).strip()), inspected["OCIv1"]["config"])
    finally:
        _output("buildah", "umount", container)
        _output("buildah", "rm", container)


@pytest.fixture(scope="module")
def operator() -> Iterator[Built]:
    """Build the operator's image by the documented command."""
    if reason := standin.missing() or ("" if shutil.which("unshare") else "unshare not found"):
        pytest.skip(f"THE OPERATOR'S IMAGE IS NOT TESTED: {reason}")
    done = subprocess.run(
        [sys.executable, "-m", "images", "build", "--base", "local", "operator"],
        cwd=catalogue.ROOT,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    tag, size = done.stdout.split()[:2]
    assert tag == f"workerpool-operator:{catalogue.version()}"
    assert int(size) < 250
    yield from mounted(tag)


pytestmark = pytest.mark.timeout(1800)


def test_its_user_is_a_number_and_its_labels_tell_what_it_is(operator: Built) -> None:
    """Kubernetes refuses a name where runAsNonRoot is set; the revision is that of the tree."""
    assert operator.config["User"] == "1983:1983"
    assert operator.config["Entrypoint"] == ["python", "-m", "app"]
    labels = {name.rpartition("image.")[2]: text for name, text in operator.config["Labels"].items()}
    revision = _output("git", "rev-parse", "HEAD").strip()
    assert labels["title"] == "workerpool-operator"
    assert labels["version"] == catalogue.version()
    assert labels["revision"].removesuffix("-changed") == revision
    assert labels["licenses"] == "Apache-2.0"
    assert labels["base.name"] == catalogue.BASE
    assert labels["source"]


def test_nothing_in_it_installs_builds_or_changes_users(operator: Built) -> None:
    """No installer of Python's, no compiler, no setuid program, in no layer: there is one root, and it has none."""
    names = (
        "pip*",
        "setuptools*",
        "gcc*",
        "cc",
        "c++*",
        "ld",
        "make",
        "cargo",
        "rustc",
        "ensurepip",
        "cyclonedx*",
        "uv",
    )
    present = [
        str(path.relative_to(operator.root))
        for folder in (
            "usr/bin",
            "usr/local",
            "usr/lib/python3*",
            "opt/venv/bin",
            "opt/venv/lib/python3*/site-packages",
        )
        for name in names
        for path in operator.root.glob(f"{folder}/{name}")
    ]
    assert present == []
    assert _output("find", str(operator.root), "-xdev", "-type", "f", "-perm", "/6000") == ""
    found = operator.run("python", "-c", "import pip")
    assert "No module named 'pip'" in found.stderr


def test_its_bill_of_materials_names_every_requirement(operator: Built) -> None:
    """With its version: Python's packages as locked, the interpreter, and every Debian package."""
    bill = json.loads((operator.root / catalogue.SBOM.lstrip("/")).read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "workerpool-operator"
    assert bill["metadata"]["component"]["version"] == catalogue.version()
    listed = {(part["name"].lower().replace("_", "-"), part["version"]) for part in bill["components"]}
    lock = (catalogue.ROOT / "images/locks/operator.txt").read_text().splitlines()
    pins = {tuple(line.split()[0].split("==")) for line in lock if "==" in line.partition(" ")[0]}
    assert len(pins) > 20
    assert pins - listed == set()
    debian = _output(
        "dpkg-query", f"--admindir={operator.root}/var/lib/dpkg", "-Wf", "${Package} ${Version}\n"
    )
    assert {tuple(line.split()) for line in debian.splitlines()} - listed == set()
    assert "python" in {name for name, _ in listed}


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


def _output(*command: str) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(
        command, cwd=catalogue.ROOT, capture_output=True, text=True, check=True, env=environment
    ).stdout
