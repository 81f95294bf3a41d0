"""Certificates and tokens from files: a change is taken up, a broken one isn't."""

import datetime as dt
import ssl
from pathlib import Path

import pytest

from app.webhook import serving
from app.webhook.authority import Authority
from app.webhook.serving import FileCredentials


@pytest.fixture(autouse=True)
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the files at every call."""
    monkeypatch.setattr(serving, "LOOK_SECONDS", 0.0)


def write(folder: Path) -> None:
    """Write a new pair as a kubelet does: into a directory of its own, then the link is moved."""
    now = dt.datetime.now(dt.UTC)
    pair = Authority.create(now).issue(["hooks"], now)
    target = folder / f"..{len(list(folder.iterdir()))}"
    target.mkdir()
    (target / "tls.crt").write_bytes(pair.certificate)
    (target / "tls.key").write_bytes(pair.key)
    link = folder / "..tmp"
    link.symlink_to(target)
    link.rename(folder / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)


def test_a_new_pair_is_served_without_a_restart_and_the_same_one_is_kept(tmp_path: Path) -> None:
    """Loading a key for each connection would cost more than the handshake."""
    credentials = FileCredentials(tmp_path, None)
    assert credentials.context() is None
    write(tmp_path)
    first = credentials.context()
    assert isinstance(first, ssl.SSLContext)
    assert first.minimum_version == ssl.TLSVersion.TLSv1_2
    assert credentials.context() is first
    write(tmp_path)
    assert credentials.context() not in (first, None)


def test_a_pair_that_cannot_be_used_leaves_the_former_one_serving(tmp_path: Path) -> None:
    """A half-written change, a key of another certificate, files that are gone."""
    write(tmp_path)
    credentials = FileCredentials(tmp_path, None)
    before = credentials.context()
    (tmp_path / "tls.crt").unlink()
    assert credentials.context() is before
    (tmp_path / "tls.crt").write_text("nonsense")
    assert credentials.context() is before


def test_a_token_is_read_again_and_an_empty_file_lets_nobody_in(tmp_path: Path) -> None:
    """Spaces around it, as editors leave them, don't count."""
    file = tmp_path / "token"
    credentials = FileCredentials(None, file)
    assert credentials.wants_token
    assert not credentials.accepts("")
    file.write_text("")
    assert not credentials.accepts("")
    file.write_text("first\n")
    assert credentials.accepts("first")
    file.write_text(" second ")
    assert credentials.accepts("second")
    assert not credentials.accepts("first")
    file.write_text("")
    assert credentials.accepts("second")
