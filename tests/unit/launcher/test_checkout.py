"""Checkouts of real repositories with the real git."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.checkout import check_out, project_root
from launcher.errors import CheckoutError, InterruptedRunError
from launcher.exits import Exit
from launcher.git import Git
from launcher.outcome import terminated
from protocol.launcher_api import Source
from tests.unit.launcher.git_server import git_server
from tests.unit.launcher.repository import Repository

CheckOut = Callable[[Source], str]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Give a repository with two commits."""
    made = Repository(tmp_path / "origin")
    made.commit("first", "one")
    made.commit("infra/main.tf", "two")
    return made


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give an empty project directory."""
    made = tmp_path / "project"
    made.mkdir()
    return made


@pytest.fixture
def said() -> list[str]:
    """Collect what the checkout says."""
    return []


@pytest.fixture
def checkout(project: Path, said: list[str]) -> Iterator[CheckOut]:
    """Check a source out."""
    git = Git(project, time.monotonic() + 30, lambda: None)
    yield lambda source: check_out(source, git, project, said.append)
    git.close()


def test_the_default_branch_is_checked_out(
    repository: Repository, project: Path, checkout: CheckOut, said: list[str]
) -> None:
    """The commit is named in the log."""
    commit = checkout(Source(repository.url))
    assert commit == repository.git("rev-parse", "main")
    assert (project / "infra" / "main.tf").read_text() == "two"
    assert said[-1] == f"Checked out commit {commit}"


def test_only_the_one_commit_is_fetched(repository: Repository, project: Path, checkout: CheckOut) -> None:
    """Shallow: history costs time and nobody asked for it."""
    checkout(Source(repository.url))
    git = Git(project, time.monotonic() + 30, lambda: None)
    assert git.run("rev-list", "--count", "HEAD") == "1"
    git.close()


@pytest.mark.parametrize("ref", ["feature/x", "v1", "refs/heads/feature/x"])
def test_branches_and_tags(repository: Repository, checkout: CheckOut, ref: str) -> None:
    """By the names that people use."""
    repository.git("checkout", "-q", "-b", "feature/x")
    commit = repository.commit("third")
    repository.git("tag", "-a", "-m", "v1", "v1")
    repository.git("checkout", "-q", "main")
    assert checkout(Source(repository.url, ref)) == commit


@pytest.mark.parametrize("length", [40, 12])
def test_an_older_commit_whole_or_abbreviated(
    repository: Repository, project: Path, checkout: CheckOut, length: int
) -> None:
    """A commit wins over the ref."""
    older = repository.git("rev-parse", "main~1")
    assert checkout(Source(repository.url, "main", older[:length])) == older
    assert not (project / "infra").exists()


def test_a_commit_that_the_server_does_not_give_alone(repository: Repository, checkout: CheckOut) -> None:
    """Then the whole history is fetched."""
    repository.git("config", "uploadpack.allowAnySHA1InWant", "false")
    repository.git("config", "protocol.version", "0")
    older = repository.git("rev-parse", "main~1")
    assert checkout(Source(repository.url, commit=older)) == older


@pytest.mark.parametrize(
    "source", [Source("", "gone"), Source("", "HEAD", "f" * 40), Source("", "HEAD", "abcdef0")]
)
def test_what_is_not_there_is_said_so(repository: Repository, checkout: CheckOut, source: Source) -> None:
    """With git's own words or ours."""
    with pytest.raises(CheckoutError, match=r"gone|no commit"):
        checkout(Source(repository.url, source.ref, source.commit))


def test_a_source_that_is_no_repository(tmp_path: Path, checkout: CheckOut) -> None:
    """The message is git's."""
    with pytest.raises(CheckoutError, match="git fetch failed"):
        checkout(Source(f"file://{tmp_path}/nothing"))


def test_a_repository_of_another_owner(repository: Repository, checkout: CheckOut) -> None:
    """A volume or a mirror seldom belongs to the run's user."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a repository away")
    for folder, _, names in os.walk(repository.path):
        for name in (".", *names):
            os.lchown(Path(folder) / name, 4321, 4321)
    checkout(Source(repository.url))


def test_user_information_stays_out_of_the_workspace(
    repository: Repository, project: Path, checkout: CheckOut, said: list[str]
) -> None:
    """The run's commands can read git's configuration, the run's user its log."""
    with pytest.raises(CheckoutError) as caught:
        checkout(Source(f"https://me:s3cret@127.0.0.1:1{repository.path}"))
    written = [path.read_text(errors="replace") for path in project.rglob("*") if path.is_file()]
    assert not any("s3cret" in text for text in [*written, *said, str(caught.value)])


def test_hooks_of_a_template_do_not_run(
    repository: Repository, checkout: CheckOut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but git itself runs in init."""
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    (hooks / "post-checkout").chmod(0o755)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(tmp_path / "template"))
    checkout(Source(repository.url))
    assert not (tmp_path / "hooked").exists()


def test_a_submodule_may_not_reach_local_files(
    repository: Repository, tmp_path: Path, checkout: CheckOut
) -> None:
    """It would read what the launcher's container holds."""
    other = Repository(tmp_path / "other")
    other.commit("secret")
    repository.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", other.url, "sub")
    repository.commit_all()
    with pytest.raises(CheckoutError, match="'file' not allowed"):
        checkout(Source(repository.url))


def test_an_interruption_ends_git(project: Path) -> None:
    """A stop, a lost lease or a SIGTERM during a checkout that would last."""

    def interrupt() -> None:
        raise InterruptedRunError(terminated("now"), Exit.TERMINATED)

    git = Git(project, time.monotonic() + 30, interrupt)
    with pytest.raises(InterruptedRunError):
        git.run("-c", "alias.wait=!sleep 20", "wait")
    git.close()


def test_git_has_a_deadline(project: Path) -> None:
    """A server that trickles must not keep a worker for ever."""
    git = Git(project, time.monotonic() + 0.2, lambda: None)
    with pytest.raises(CheckoutError, match="did not end in time"):
        git.run("-c", "alias.wait=!sleep 20", "wait")
    git.close()


def test_a_project_root_inside_the_source(project: Path) -> None:
    """Cleaned of what means nothing."""
    (project / "a" / "b").mkdir(parents=True)
    assert project_root(project, "./a//b/") == "a/b"
    assert project_root(project, "") == ""


@pytest.mark.parametrize("wanted", ["..", "a/../..", "/etc", "link", "link/x", "file", "missing", "a\0"])
def test_a_project_root_that_leads_out_or_nowhere(project: Path, tmp_path: Path, wanted: str) -> None:
    """By name or through a link of the repository."""
    (project / "a").mkdir()
    (project / "file").touch()
    (project / "link").symlink_to(tmp_path)
    (tmp_path / "x").mkdir()
    with pytest.raises(CheckoutError):
        project_root(project, wanted)


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    ("user", "password", "written"),
    [
        ("me", "s3cret", "me:s3cret"),
        ("me@x", "s3cret/ %:+ü", "me%40x:s3cret%2F%20%25%3A+%C3%BC"),
        ("me", "s3cret@x", "me:s3cret@x"),
        ("s3cret", "", "s3cret"),
    ],
)
def test_user_information_is_used_and_shown_to_nobody(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: list[str],
    user: str,
    password: str,
    written: str,
) -> None:
    """Neither to who lists processes (git's trace has the arguments of all of them) nor to the run's commands."""
    scratch = tmp_path / "scratch of git's"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("no_proxy", "*")
    trace = tmp_path / "trace"
    monkeypatch.setenv("GIT_TRACE", str(trace))
    with git_server(tmp_path, user, password) as address:
        git = Git(project, time.monotonic() + 30, lambda: None)
        check_out(Source(f"http://{written}@{address}/origin/.git"), git, project, said.append)
        assert (project / "infra" / "main.tf").read_text() == "two"
        left = [path for place in (project, scratch) for path in place.rglob("*") if path.is_file()]
        assert "git-remote-http" in trace.read_text() or "git remote-http" in trace.read_text()
        for text in (trace.read_text(), *said, *(path.read_text(errors="replace") for path in left)):
            assert "s3cret" not in text
        git.close()


def test_refused_credentials_are_said_to_be_refused(
    project: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every try: git itself drops them after the first."""
    monkeypatch.setenv("no_proxy", "*")
    with git_server(repository.path, "me", "right") as address:
        git = Git(project, time.monotonic() + 30, lambda: None)
        with pytest.raises(CheckoutError, match="Authentication failed"):
            check_out(Source(f"http://me:wrong@{address}/.git"), git, project, lambda _: None)
        git.close()


def test_credentials_are_for_their_owner_alone(project: Path) -> None:
    """Mode 0600, and gone afterwards."""
    git = Git(project, time.monotonic() + 30, lambda: None)
    with git.credentials("https://me:s3cret@example.org"):
        helper = git.run("config", "--get-all", "credential.helper")
        store = Path(helper.partition("--file=")[2])
        assert store.stat().st_mode & 0o777 == 0o600
    assert not store.exists()
    with pytest.raises(CheckoutError):
        git.run("config", "--get-all", "credential.helper")
    git.close()
