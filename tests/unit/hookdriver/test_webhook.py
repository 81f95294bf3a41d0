"""A hook of a Service is called where the stand-in was told that the Service is."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from devcluster.hookdriver.config import HookConfig
from devcluster.hookdriver.errors import HookError
from devcluster.hookdriver.settings import parse_settings
from devcluster.hookdriver.webhook import Webhook

SERVICE = "hooks.operators:80"


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers with its own path."""

    def do_POST(self) -> None:
        """Answer any POST."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """Serve, and return host:port."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def hook() -> HookConfig:
    """Return a hook of a Service."""
    return HookConfig(f"http://{SERVICE}/sync/worker", "v1", 5.0, strict=False)


def test_a_service_is_called_at_the_address_that_was_given(address: str) -> None:
    """By the command line, as in tests without a cluster DNS."""
    services = parse_settings([f"--service={SERVICE}={address}"]).services
    webhook = Webhook(hook(), 1, None, services)
    assert webhook.call({}) == b"/sync/worker"
    webhook.close()


def test_another_service_is_not(address: str) -> None:
    """The port belongs to the name."""
    webhook = Webhook(hook(), 1, None, {"hooks.operators:81": address})
    with pytest.raises(HookError):
        webhook.call({})


@pytest.mark.parametrize("text", ["hooks.operators=127.0.0.1:1", "hooks.operators:80=127.0.0.1", "nothing"])
def test_half_an_address_is_refused(text: str) -> None:
    """Both sides need a port."""
    with pytest.raises(SystemExit):
        parse_settings([f"--service={text}"])
