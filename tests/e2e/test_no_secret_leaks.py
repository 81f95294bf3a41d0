"""No key, token or run token is anywhere but in the Secrets made for them."""

import base64
import json
from pathlib import Path

from devcluster.cluster import Cluster
from tests.e2e.harness import Journal, Pool, Shell, until

KINDS = (
    "workerpools,workers,pods,events,configmaps,controllerrevisions.apps,serviceaccounts,leases,"
    "compositecontrollers.metacontroller.k8s.io,decoratorcontrollers.metacontroller.k8s.io,"
    "controllerrevisions.metacontroller.k8s.io"
)


def _lines(pem_base64: str) -> set[str]:
    """Return the secret lines of a PEM: any of them in the open is a leak."""
    text = base64.b64decode(pem_base64).decode()
    return {line for line in text.splitlines() if line and not line.startswith("-----")}


def _produced(cluster: Cluster, shell: Shell) -> dict[str, str]:
    """Return everything that the system has written where people may read."""
    texts = {path.name: path.read_text(errors="replace") for path in cluster.logs_dir.iterdir()}
    texts["objects"] = shell.kubectl("get", KINDS, "--all-namespaces", "-o", "json", "--show-managed-fields")
    return texts


def test_no_secret_is_in_logs_objects_or_events(
    cluster: Cluster, shell: Shell, pool: Pool, journal: Journal, outside: Path
) -> None:
    """While a run is in flight and after it, the real material is nowhere in what was produced."""
    gate = outside / "leaks.gate"
    run = pool.trigger(*journal.commands("leaks", f"until [ -e {gate} ]; do sleep 0.1; done"))
    until(lambda: journal.counts("start")["leaks"], "the run is in flight")
    run_secret = shell.get("secret", f"{run.lower()}-preparing-2")["data"]
    material = {pool.token, pool.key_base64, *_lines(pool.key_base64)}
    certificate = json.loads(base64.b64decode(pool.token))["certificate"]
    material |= {line for line in certificate.splitlines() if not line.startswith("-----") and len(line) > 20}
    for name in ("run-token", "workspace-key"):
        material |= {run_secret[name], base64.b64decode(run_secret[name]).decode(errors="replace")}
    assert len(material) > 40
    during = _produced(cluster, shell)
    gate.touch()
    pool.await_state(run, "succeeded")
    for when in (during, _produced(cluster, shell)):
        assert run.lower() in when["objects"] + when["operator.log"]
        for place, text in when.items():
            assert not [item for item in material if item in text], f"a secret is in {place}"
