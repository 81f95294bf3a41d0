"""The client against a real HTTPS server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.api_client import Attempt, LauncherApi
from launcher.credentials import Credentials, RunToken, read_credentials
from launcher.errors import (
    AnswerError,
    ConflictError,
    NotYetError,
    SettingsError,
    UnauthorizedError,
    UnavailableError,
)
from protocol.launcher_api import LeaseAction, ResultReport
from protocol.runs import Outcome, Reason, Result
from tests.unit.launcher.certificates import make_certificates
from tests.unit.launcher.mothership_fake import POD_UID, RUN, SEQUENCE, TOKEN, MothershipFake
from tests.unit.launcher.pod import Pod


@pytest.fixture
def api(connected: Pod) -> Iterator[LauncherApi]:
    """Give a client."""
    made = connected.api()
    yield made
    made.close()


def test_a_claim_names_the_pod(api: LauncherApi, mothership: MothershipFake) -> None:
    """And learns the lease."""
    assert api.claim(POD_UID) == 1
    assert mothership.granted_to == POD_UID


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (425, NotYetError),
        (409, ConflictError),
        (401, UnauthorizedError),
        (403, UnauthorizedError),
        (404, AnswerError),
        (301, AnswerError),
        (429, UnavailableError),
        (408, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
def test_each_answer_is_an_error_of_its_own_type(
    api: LauncherApi, mothership: MothershipFake, status: int, error: type[Exception]
) -> None:
    """Callers decide by type."""
    mothership.script.failing["claim"] = status
    with pytest.raises(error, match="told to fail"):
        api.claim(POD_UID)


def test_a_connection_that_breaks_off_can_be_retried(api: LauncherApi, mothership: MothershipFake) -> None:
    """No answer is not a refusal."""
    mothership.script.down = frozenset({"lease"})
    with pytest.raises(UnavailableError):
        api.renew()
    mothership.script.down = frozenset()
    assert api.renew().action is LeaseAction.CONTINUE


def test_nobody_there_is_said_in_words(pod: Pod) -> None:
    """Not in the names of Python's classes."""
    ca = make_certificates(pod.folder).ca
    api = LauncherApi(Credentials("https://127.0.0.1:1", ca, RunToken("t")), Attempt(RUN, SEQUENCE), 2)
    with pytest.raises(UnavailableError, match="POST lease: Connection refused"):
        api.renew()
    api.close()


def test_a_mothership_of_another_authority_is_not_talked_to(
    mothership: MothershipFake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificates: object
) -> None:
    """Only the Secret's CA counts, whatever the environment says; the token isn't sent."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(getattr(certificates, "ca", "")))
    ca = make_certificates(tmp_path).ca
    api = LauncherApi(Credentials(mothership.endpoint, ca, RunToken(TOKEN)), Attempt(RUN, SEQUENCE), 2)
    with pytest.raises(UnavailableError, match="certificate isn't accepted"):
        api.claim(POD_UID)
    assert mothership.tried["claim"] == 0
    api.close()


def test_a_netrc_does_not_replace_the_token(
    api: LauncherApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The HTTP library would prefer it to a header."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert api.renew().action is LeaseAction.CONTINUE


def test_no_error_shows_the_token(mothership: MothershipFake, connected: Pod) -> None:
    """In its text or in anything it carries."""
    api = connected.api()
    mothership.script.failing["details"] = 500
    with pytest.raises(UnavailableError) as caught:
        api.details()
    api.close()
    assert TOKEN not in repr(caught.value) + repr(caught.value.__dict__)
    assert TOKEN not in repr(RunToken(TOKEN)) + repr(Credentials("e", Path(), RunToken(TOKEN)))


def test_details_that_are_none_are_refused_with_the_field(
    api: LauncherApi, mothership: MothershipFake
) -> None:
    """The mothership's makers want to know which."""
    mothership.script.details["commands"] = "echo"
    with pytest.raises(AnswerError, match="details: field commands"):
        api.details()


def test_a_result_arrives(api: LauncherApi, mothership: MothershipFake) -> None:
    """As the protocol has it."""
    api.report(ResultReport(Outcome(Result.SUCCEEDED, Reason.COMPLETED)))
    assert mothership.results[0]["outcome"]["result"] == "succeeded"


def test_large_log_chunks_are_compressed(api: LauncherApi, mothership: MothershipFake) -> None:
    """Small ones are not worth it."""
    assert api.append_log(0, b"small") == 5
    assert api.append_log(5, b"x" * 5000) == 5005
    assert mothership.encodings == {"plain": 1, "gzip": 1}
    assert mothership.log == b"small" + b"x" * 5000


def test_a_gap_in_the_log_says_where_to_go_on(api: LauncherApi) -> None:
    """As the mothership counts."""
    with pytest.raises(ConflictError) as caught:
        api.append_log(10, b"x")
    assert caught.value.offset == 0


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("run-token", "", "run-token is empty"),
        ("api-endpoint", "http://h", "https://"),
        ("api-endpoint", "https://u:p@h", "https://"),
        ("ca.crt", " \n", "ca.crt is empty"),
    ],
)
def test_bad_credentials_are_named(pod: Pod, name: str, text: str, complaint: str) -> None:
    """Not shown."""
    (pod.credentials / name).write_text(text)
    with pytest.raises(SettingsError, match=complaint):
        read_credentials(pod.credentials)


def test_a_missing_credential_is_named(pod: Pod) -> None:
    """The run Secret is gone: this is a ghost Pod."""
    (pod.credentials / "run-token").unlink()
    with pytest.raises(SettingsError, match="run-token can't be read"):
        read_credentials(pod.credentials)
