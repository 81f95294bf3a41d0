"""The real executor as a process, with a line of its script changed if a mutation says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from protocol.launcher_api import Settings
from tests.mutations import signs
from tests.unit.launcher import pod as launcher_pod
from tests.unit.launcher.pod import Pod, running_pod, wait_for

_script = launcher_pod.EXECUTOR.read_text()
PATIENCE = 6.0
"""Seconds after which an executor whose lease lasts one second must have stopped its run."""


@contextmanager
def changed(old: str, new: str) -> Iterator[None]:
    """Have catchers run a script in which `old` is `new`; fail when the script has no such text."""
    assert old in _script, f"the executor has no {old!r} any more"
    text = _script.replace(old, new)
    with patch(f"{__name__}._script", text):
        yield


def second_container(pod: Pod) -> set[str]:
    """Make the worker container again in the workspace of the first."""
    pod.prepare("echo x >>journal")
    for _ in range(2):
        pod.executor().ended()
    starts = (pod.workspace.project / "journal").read_text().count("x")
    return {signs.SECOND_START} if starts > 1 else set()


def lease_not_renewed(pod: Pod) -> set[str]:
    """Let nobody renew the lease of a run at work."""
    pod.prepare("touch up; sleep 300", settings=Settings(lost_after=1, stop_grace=1))
    running = pod.executor()
    wait_for((pod.workspace.project / "up").exists, "the command")
    try:
        wait_for(lambda: running.process.poll() is not None, "the end", PATIENCE)
    except AssertionError:
        return {signs.WITHOUT_LEASE}
    return set()


CATCHERS: dict[str, Callable[[Pod], set[str]]] = {
    "a second container in the same workspace": second_container,
    "a lease that nobody renews": lease_not_renewed,
}


def signs_of(name: str, folder: Path) -> set[str]:
    """Run a catcher."""
    script = folder / "spacelift-worker"
    script.write_text(_script)
    script.chmod(0o755)
    with patch.object(launcher_pod, "EXECUTOR", script), running_pod(Pod(folder / "pod")) as pod:
        return CATCHERS[name](pod)
