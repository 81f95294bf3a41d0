"""What a git source may look like, and how it may be shown; pure."""

import re
from dataclasses import replace

from launcher.errors import CheckoutError
from protocol.launcher_api import Source

_SCHEME = re.compile(r"(https?|ssh|file)://[^\s]+")
# user@host:path, the short form of ssh
_SHORT_SSH = re.compile(r"[A-Za-z0-9_][\w.-]*@[A-Za-z0-9][\w.-]*:[^\s-][^\s]*")
# What git itself refuses in a ref name, and a leading dash, which would be an option.
_REF = re.compile(r"(?!-)(?!.*\.\.)(?!.*@\{)[^\x00-\x20\x7f~^:?*\[\\]+")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_WHOLE_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# git hides user information in some of its messages, not in all.
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")


def checked(source: Source) -> Source:
    """Return the source when git may be given it; raise CheckoutError. A ref that is a commit becomes one."""
    if not (_SCHEME.fullmatch(source.url) or _SHORT_SSH.fullmatch(source.url)):
        raise CheckoutError("The source's URL must be an https, http, ssh or file URL")
    if not _REF.fullmatch(source.ref):
        raise CheckoutError(f"The source's ref {source.ref!r} is not a branch, tag or commit")
    if source.commit is not None and not _COMMIT.fullmatch(source.commit.lower()):
        raise CheckoutError(f"The source's commit {source.commit!r} is not a commit id")
    if source.commit is not None:
        return replace(source, commit=source.commit.lower())
    if _WHOLE_COMMIT.fullmatch(source.ref):
        return replace(source, ref="HEAD", commit=source.ref)
    return source


def is_whole(commit: str) -> bool:
    """Say whether a commit id is complete, so that a server can be asked for it."""
    return _WHOLE_COMMIT.fullmatch(commit) is not None


def without_user(text: str) -> str:
    """Return a text with the user information of every URL in it taken out."""
    return _USER_INFO.sub("", text)
