"""What a git source may look like, and how it may be shown; pure."""

import re
from dataclasses import replace
from urllib.parse import quote, unquote_to_bytes

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
# Up to the last @ of the authority: a password may hold one that should have been encoded.
_USER_INFO = re.compile(r"(?<=://)[^/?#\s]+@")
_WEB_USER_INFO = re.compile(r"(https?)://([^/?#]*)@(([^/?#@]*).*)")


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


def split_credentials(url: str) -> tuple[str, str]:
    """Return the URL to fetch, and its user information as a line of git's credential store, empty if there is none.

    Only git over HTTP logs in with it: what stands in an ssh URL is no secret.
    """
    found = _WEB_USER_INFO.fullmatch(url)
    if found is None:
        return url, ""
    scheme, user_info, rest, host = found.groups()
    user, _, password = user_info.partition(":")
    # Without a password an empty one is sent, as for a token that is given in the user's place.
    return f"{scheme}://{rest}", f"{scheme}://{_encoded(user)}:{_encoded(password)}@{host}"


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text), safe="")
