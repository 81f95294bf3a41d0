"""Checks a git source out into the project directory, as shallow as the server allows."""

import time
from collections.abc import Callable
from pathlib import Path

from launcher.errors import CheckoutError
from launcher.git import Git
from launcher.source_url import checked, is_whole, split_credentials, without_user
from protocol.launcher_api import Source

Say = Callable[[str], None]

_EVERYTHING = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
_NETWORK_TRIES = 3


def check_out(source: Source, git: Git, project: Path, say: Say) -> str:
    """Put the source's tree into the empty directory `project`; return the commit's id or raise CheckoutError."""
    source = checked(source)
    shown = without_user(source.url)
    say(f"Checking out {source.commit or source.ref} of {shown}")
    git.run("init", "--quiet", ".")
    # Without the user information: the commands of the run can read the configuration.
    git.run("remote", "add", "origin", shown)
    commit = _fetch(source, git)
    git.run("checkout", "--quiet", "--force", "--detach", commit)
    found = git.run("rev-parse", "HEAD")
    if source.commit is not None and not found.startswith(source.commit):
        raise CheckoutError(f"Wanted the commit {source.commit}, got {found}")
    if (project / ".gitmodules").is_file():
        _submodules(git, say)
    say(f"Checked out commit {found}")
    return found


def _fetch(source: Source, git: Git) -> str:
    """Fetch what is wanted and return its commit id."""
    if source.commit is None:
        _try_fetch(source, git, "--depth=1", source.ref)
        return git.run("rev-parse", "--verify", "--quiet", "FETCH_HEAD^{commit}")
    if is_whole(source.commit) and _fetched(source, git, "--depth=1", source.commit):
        return source.commit
    # A server may refuse to be asked for a commit that no ref names: then it takes the whole history.
    _try_fetch(source, git, *_EVERYTHING)
    commit = f"{source.commit}^{{commit}}"
    try:
        return git.run("rev-parse", "--verify", "--quiet", commit)
    except CheckoutError:
        raise CheckoutError(f"The source has no commit {source.commit}") from None


def _fetched(source: Source, git: Git, *what: str) -> bool:
    try:
        _fetch_once(source, git, *what)
    except CheckoutError:
        return False
    return True


def _try_fetch(source: Source, git: Git, *what: str) -> None:
    """Fetch; over a network more than once, since a lost connection says nothing about the source."""
    tries = 1 if source.url.startswith("file:") else _NETWORK_TRIES
    for number in range(1, tries + 1):
        try:
            _fetch_once(source, git, *what)
        except CheckoutError:
            if number == tries:
                raise
            time.sleep(number)
        else:
            return


def _fetch_once(source: Source, git: Git, *what: str) -> None:
    url, entry = split_credentials(source.url)
    # For the source alone: submodules are named by whoever wrote the commit. Anew each time: git drops refused ones.
    with git.credentials(entry):
        git.run("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", url, *what)


def _submodules(git: Git, say: Say) -> None:
    """Fetch the submodules; a repository must not reach files of the launcher's container through them."""
    say("Fetching submodules")
    update = ("submodule", "--quiet", "update", "--init", "--recursive")
    try:
        git.run(*update, "--depth=1", files_allowed=False)
    except CheckoutError:
        git.run(*update, files_allowed=False)


def project_root(project: Path, wanted: str) -> str:
    """Return the project root as a clean relative path; raise CheckoutError when it leads out or isn't there."""
    if "\0" in wanted or wanted.startswith("/") or ".." in Path(wanted).parts:
        raise CheckoutError(f"The project root {wanted!r} must be a path inside the source")
    place = project / wanted
    # The repository may hold a link to anywhere.
    if not place.resolve().is_relative_to(project.resolve()):
        raise CheckoutError(f"The project root {wanted!r} leads out of the source")
    if not place.is_dir():
        raise CheckoutError(f"The source has no directory {wanted!r} to be the project root")
    return "" if place == project else str(place.relative_to(project))
