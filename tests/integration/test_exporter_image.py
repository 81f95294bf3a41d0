"""The exporter's image, built from its Dockerfile: what is in it, what isn't, and that it is scraped as in a cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from images import catalogue
from tests.integration.image import Built, build, output, surplus, unlisted

# An API of two answers, the exporter as users' manifests start it, one scrape and a stop.
SERVES = """
cat >/tmp/api.py <<'END'
import http.server, json
ACCOUNT = {"publicWorkerPool": None, "usage": None, "metrics": None, "workerPools": [
    {"id": "p", "name": "pool", "pendingRuns": 3, "busyWorkers": 0, "workers": [], "schedulableRunsCount": 2}]}
class Api(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        key = {"apiKeyUser": {"jwt": "token", "validUntil": 4000000000}}
        answer = json.dumps({"data": key if b"apiKeyUser" in asked else ACCOUNT}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Api).serve_forever()
END
python /tmp/api.py 2>/tmp/api.log & api=$!
python - <<'END'
import socket, time
for attempt in range(300):
    try:
        socket.create_connection(("127.0.0.1", 8080)).close()
        break
    except OSError:
        time.sleep(0.1)
END
export SPACELIFT_PROMEX_API_ENDPOINT=http://127.0.0.1:8080 SPACELIFT_PROMEX_API_KEY_ID=k SPACELIFT_PROMEX_API_KEY_SECRET=s
export SPACELIFT_PROMEX_COMMIT="$1"
/usr/bin/spacelift-promex serve & exporter=$!
python - <<'END'
import time, urllib.request
for attempt in range(300):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:9953/metrics", timeout=20).read().decode())
        break
    except OSError:
        time.sleep(0.1)
END
kill $exporter
wait $exporter
echo "status $?"
kill $api
"""

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def exporter() -> Iterator[Built]:
    """Build the exporter's image by the documented command."""
    yield from build("exporter", 160)


def test_it_starts_as_users_manifests_start_it(exporter: Built) -> None:
    """A number for a user, the whole command where they have it, no entry point that would come before theirs."""
    assert exporter.config["User"] == "1983:1983"
    assert exporter.config["Cmd"] == ["/usr/bin/spacelift-promex", "serve"]
    assert not exporter.config.get("Entrypoint")
    assert list(exporter.config["ExposedPorts"]) == ["9953/tcp"]


def test_its_labels_and_its_metric_tell_what_it_is_made_of(exporter: Built) -> None:
    """The revision is that of the tree in both, though earlier builds are in the cache."""
    labels = {name.rpartition("image.")[2]: text for name, text in exporter.config["Labels"].items()}
    revision = output("git", "rev-parse", "HEAD").strip()
    assert labels["title"] == "workerpool-exporter"
    assert labels["version"] == catalogue.version()
    assert labels["revision"].removesuffix("-changed") == revision
    (commit,) = [each for each in exporter.config["Env"] if each.startswith("SPACELIFT_PROMEX_COMMIT=")]
    assert commit.partition("=")[2] == labels["revision"]


def test_nothing_in_it_installs_builds_or_changes_users(exporter: Built) -> None:
    """And the other products aren't in it."""
    assert surplus(exporter) == []
    assert [path.name for path in (exporter.root / "srv").iterdir()] == ["exporter"]


def test_its_bill_of_materials_names_every_requirement(exporter: Built) -> None:
    """Python's packages as locked, the interpreter, and every Debian package."""
    assert unlisted(exporter, "workerpool-exporter", "exporter") == set()


def test_it_serves_on_a_read_only_root(exporter: Built) -> None:
    """As user 1983, with nothing to write to; it stops with status 0."""
    served = exporter.run("sh", "-c", SERVES, "sh", "abc123")
    pool = 'worker_pool_id="p",worker_pool_name="pool"'
    assert f"spacelift_worker_pool_runs_pending{{{pool}}} 3.0" in served.stdout, served.stderr
    assert f"spacelift_worker_pool_runs_schedulable{{{pool}}} 2.0" in served.stdout
    assert 'commit="abc123"' in served.stdout
    assert "status 0" in served.stdout
    assert '"event": "stopped"' in served.stderr
