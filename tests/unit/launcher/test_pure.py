"""Formats and decisions of the launcher that need no process and no clock."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.clock import LONGEST_WAIT, SHORTEST_WAIT, boot_hundredths, wait_before
from launcher.errors import CheckoutError, SettingsError, WorkspaceError
from launcher.exchange import (
    check_commands,
    environment_text,
    parse_exit,
    parse_number,
    parse_phases,
    phase_line,
    settings_text,
)
from launcher.lease import renewal_interval
from launcher.log_stream import Pace
from launcher.outcome import init_failed, termination_message
from launcher.settings import Settings, parse_settings
from launcher.source_url import checked, without_user
from launcher.worker_watch import Limits, Silence, Situation, Step, WorkerView, next_step
from protocol.launcher_api import PhaseReport, Source
from protocol.launcher_api import Settings as RunSettings
from protocol.runs import Outcome, Reason, Result

REQUIRED = {
    "SPACELIFT_RUN_ID": "R",
    "SPACELIFT_RUN_STAGE": "preparing",
    "SPACELIFT_RUN_SEQUENCE": "3",
    "SPACELIFT_POD_UID": "U",
    "SPACELIFT_CREDENTIALS_DIR": "/c",
}
ENDED = Outcome(Result.SUCCEEDED, Reason.COMPLETED)
LIMITS = Limits(worker_silence=30, termination=25)


def situation(
    outcome: Outcome | None = None, silent: float = 0, *, gone: bool = False, terminated: float | None = None
) -> Situation:
    """Return a situation that differs from a quiet run in what is named."""
    return Situation(WorkerView("1", outcome), Silence("1", silent), gone, terminated)


def test_settings_come_from_the_environment() -> None:
    """The whole of them, defaults included."""
    found = parse_settings({**REQUIRED, "SPACELIFT_LAUNCHER_START_TIMEOUT": "2.5"})
    assert found == Settings("R", "preparing", 3, "U", Path("/c"), start_timeout=2.5)


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_a_missing_variable_is_named(name: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(SettingsError, match=name):
        parse_settings({key: value for key, value in REQUIRED.items() if key != name})


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_that_is_none_is_refused(value: str) -> None:
    """A launcher that waits for ever, or not at all, helps nobody."""
    with pytest.raises(SettingsError, match="SPACELIFT_LAUNCHER_FLUSH_TIMEOUT"):
        parse_settings({**REQUIRED, "SPACELIFT_LAUNCHER_FLUSH_TIMEOUT": value})


# What a shell can't hold: NUL, and half characters that no encoding has.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(TEXT)
def test_any_value_survives_the_environment_file(value: str) -> None:
    """A shell that sources it has exactly that value."""
    script = environment_text({"V": value}) + 'printf %s "$V"'
    found = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    assert found.stdout.decode() == value


@pytest.mark.parametrize("name", ["", "1A", "a-b", "a b", "a=b", "x;id", "PPID", "UID", "ä"])
def test_a_name_that_no_shell_takes_is_refused(name: str) -> None:
    """Silently leaving it out would be worse."""
    with pytest.raises(WorkspaceError):
        environment_text({name: "x"})


@pytest.mark.parametrize("command", ["a\0b", "x" * 200_000, "\ud800"])
def test_a_command_that_no_shell_takes_is_refused(command: str) -> None:
    """With its number."""
    with pytest.raises(WorkspaceError, match="Command 2"):
        check_commands(["fine", command])


def test_a_value_that_is_too_long_is_not_repeated_in_the_refusal() -> None:
    """It may be a secret."""
    with pytest.raises(WorkspaceError) as caught:
        environment_text({"KEY": "secret" * 100_000})
    assert "secret" not in str(caught.value)


def test_the_executor_gets_half_of_the_grace_when_it_is_in_a_hurry() -> None:
    """Rounded up; a grace of nothing stays nothing."""
    graces = [settings_text(RunSettings(stop_grace=grace), 0, "") for grace in (30, 1, 0)]
    assert [text.split("sl_hurried_grace=")[1].split()[0] for text in graces] == ["15", "1", "0"]


def test_an_exit_report_is_read() -> None:
    """Spaces in the message included."""
    text = "result failed\nreason NonZeroExit\ncode 7\nmessage Command 1 of 2 ended with exit code 7\n"
    assert parse_exit(text) == Outcome(
        Result.FAILED, Reason.NON_ZERO_EXIT, "Command 1 of 2 ended with exit code 7", {"worker": 7}
    )


@pytest.mark.parametrize(
    "text", ["", "result failed\n", "result odd\nreason Completed\ncode 1\nmessage m\n", "x"]
)
def test_what_is_no_exit_report_is_none(text: str) -> None:
    """A run isn't over because of a broken file."""
    assert parse_exit(text) is None


def test_phases_are_read_back() -> None:
    """A half-written line is left out."""
    text = phase_line("init", 0, 1.234) + "command-1 7 0.50\ncommand-2"
    assert parse_phases(text) == (PhaseReport("init", 0, 1.23), PhaseReport("command-1", 7, 0.5))


@pytest.mark.parametrize(("text", "number"), [("12\n", 12), ("", 0), ("-1", 0), ("x", 0)])
def test_numbers_of_files(text: str, number: int) -> None:
    """Anything else counts as nothing."""
    assert parse_number(text) == number


@given(st.text())
def test_a_termination_message_fits(message: str) -> None:
    """Kubernetes cuts at 4096 bytes, and half a JSON object is none."""
    text = termination_message(init_failed(message * 50))
    assert len(text.encode()) <= 4096
    assert json.loads(text)["reason"] == "InitFailed"


@pytest.mark.parametrize(("lease", "interval"), [(30, 5.0), (9, 3.0), (1, 1 / 3), (0, 0.2)])
def test_a_lease_is_renewed_three_times_over(lease: int, interval: float) -> None:
    """And every five seconds at least, to hear of a stop."""
    assert renewal_interval(lease) == pytest.approx(interval)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_waits_stay_within_their_bounds(attempt: int, jitter: float) -> None:
    """From 200 ms to 2 s."""
    assert SHORTEST_WAIT <= wait_before(attempt, jitter) <= LONGEST_WAIT


@pytest.mark.parametrize(("asked", "wait"), [(0, 0.2), (7, 7), (9999, 60)])
def test_a_wait_that_the_mothership_asks_for_is_kept(asked: float, wait: float) -> None:
    """Within reason."""
    assert wait_before(0, 0.5, asked) == wait


def test_the_clock_is_the_one_of_the_executor() -> None:
    """Hundredths since boot, from the file that the script reads."""
    before = float(Path("/proc/uptime").read_text().split()[0])
    assert before * 100 - 1 <= boot_hundredths() <= before * 100 + 500


@pytest.mark.parametrize(
    ("waiting", "now", "hurry", "due"),
    [
        (0, 99, True, False),
        (1, 10.1, False, False),
        (1, 10.1, True, True),
        (1, 10.6, False, True),
        (40_000, 10.1, False, True),
    ],
)
def test_output_is_gathered_for_a_moment(waiting: int, now: float, hurry: bool, due: bool) -> None:
    """Unless there is much of it, or the run is over."""
    pace = Pace()
    pace.sent(10)
    assert pace.is_due(waiting, now, hurry=hurry) is due


def test_after_a_failure_not_even_a_hurry_hurries() -> None:
    """A mothership that can't answer isn't hammered."""
    pace = Pace()
    pace.failed(10, jitter=0, retry_after=5)
    assert not pace.is_due(1, 14.9, hurry=True)
    assert pace.is_due(1, 15.1, hurry=True)


@pytest.mark.parametrize(
    ("now", "step"),
    [
        (situation(), Step.GO_ON),
        (situation(silent=29), Step.GO_ON),
        (situation(silent=30), Step.VANISHED),
        (situation(gone=True), Step.LEAVE),
        (situation(terminated=24), Step.GO_ON),
        (situation(terminated=25), Step.GIVE_UP),
        (situation(ENDED, 99, gone=True, terminated=99), Step.DELIVER),
    ],
)
def test_what_the_server_does_next(now: Situation, step: Step) -> None:
    """An ended run comes first: its outcome is the best evidence."""
    assert next_step(now, LIMITS) is step


def test_silence_counts_from_the_first_heartbeat_on() -> None:
    """Before it, the image may still be on its way."""
    assert Silence().after(WorkerView(), 1000, 1).seconds == 0


def test_an_empty_heartbeat_is_no_news() -> None:
    """The reader came in the middle of a write."""
    assert Silence("1", 3).after(WorkerView(""), 0.5, 1) == Silence("1", 3.5)


def test_a_frozen_launcher_does_not_take_the_executor_for_dead() -> None:
    """A look that comes an hour late counts as one."""
    assert Silence("1").after(WorkerView("1"), 3600, 1).seconds == 1


@pytest.mark.parametrize(
    "url", ["https://h/r.git", "http://h/r", "ssh://git@h:22/r", "file:///srv/r", "git@h.example:group/r.git"]
)
def test_good_urls(url: str) -> None:
    """What users of git write."""
    assert checked(Source(url)).url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/r",
        "ext::sh -c id",
        "--upload-pack=id",
        "git://h/r",
        "https://h/a b",
        "-u@h:x",
        "u@h:-x",
        "ftp://h",
    ],
)
def test_urls_that_git_is_not_given(url: str) -> None:
    """Options, commands, paths of the launcher's own container."""
    with pytest.raises(CheckoutError):
        checked(Source(url))


@pytest.mark.parametrize("ref", ["--help", "-x", "a b", "a..b", "a:b", "a~1", "", "@{x}", "a\nb"])
def test_refs_that_git_is_not_given(ref: str) -> None:
    """A ref names a branch, a tag or a commit, and no option."""
    with pytest.raises(CheckoutError):
        checked(Source("https://h/r", ref))


def test_a_ref_that_is_a_commit_is_one() -> None:
    """The mothership need not tell them apart."""
    assert checked(Source("https://h/r", "a" * 40)).commit == "a" * 40


def test_user_information_is_not_shown() -> None:
    """In any URL of a text."""
    shown = without_user("fatal: https://me:s3cret@h/r and ssh://git@h/r")
    assert shown == "fatal: https://h/r and ssh://h/r"
