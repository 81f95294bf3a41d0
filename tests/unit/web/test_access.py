"""Who may call the hooks: what Metacontroller sends is let in, everything else is told why not."""

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.web.access import Access
from app.web.application import create_app
from tests.unit.web.health import ToldHealth

REQUEST = (Path(__file__).with_name("requests") / "sync-workerpool.json").read_bytes()


class OneToken:
    """Knows one token."""

    wants_token = True

    def accepts(self, token: str) -> bool:
        """Compare."""
        return token == "right"


@pytest.fixture
def app() -> Flask:
    """Give an application that lets in by token and port."""
    return create_app(ToldHealth(), access=Access(OneToken(), 9443))


def call(client: FlaskClient, header: str | None, port: int = 9443) -> tuple[int, str]:
    """Call a hook; return status and body."""
    headers = {"Authorization": header} if header is not None else {}
    answer = client.post("/sync/workerpool", data=REQUEST, headers=headers, base_url=f"http://hooks:{port}")
    return answer.status_code, answer.get_data(as_text=True)


@pytest.mark.parametrize("header", ["Bearer right", "bearer  right "])
def test_the_right_token_is_let_in(client: FlaskClient, header: str) -> None:
    """The scheme's case doesn't matter (RFC 9110)."""
    assert call(client, header)[0] == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic right", "right"])
def test_anything_else_is_refused_before_its_body_is_read(client: FlaskClient, header: str | None) -> None:
    """401, and not a word about the token."""
    status, body = call(client, header)
    assert status == 401
    assert "right" not in body


def test_what_is_meant_for_tls_cannot_go_by_the_probes_port(client: FlaskClient) -> None:
    """Even with the token; the probes themselves need neither."""
    assert call(client, "Bearer right", 8081)[0] == 404
    assert client.get("/healthz", base_url="http://hooks:8081").status_code == 200
