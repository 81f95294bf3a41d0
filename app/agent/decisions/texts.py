"""The wording of verdicts: printable, short enough for a status, and with the fix where it is known; pure.

Our own words come first and foreign ones last, so that cutting a long text never costs what only we know. Secrets are
taken out before a text is cut: what is left of a key or a token often doesn't look like one any more.
"""

import re
from typing import Final

from app import vocabulary as words
from app.logs import without_secrets

LAST_WORDS: Final = 400
"""Characters of a container's termination message that a verdict quotes: its end, where the error is."""

IMAGE_USER_FIX: Final = (
    f"the run's files belong to UID and GID {words.RUN_USER_ID}: "
    f"a custom runner image must have a user with UID {words.RUN_USER_ID}"
)
"""What to do about an image without the user that runs are made for."""

NUMERIC_USER_FIX: Final = (
    f"set runAsUser (the operator's default is {words.RUN_USER_ID}) in the securityContext of that container or of "
    f"spec.pod, or give the image a numeric USER other than 0"
)
"""What to do when the kubelet can't tell, or doesn't like, who the container would run as."""

_OURS: Final = (words.INIT_CONTAINER, words.GRPC_CONTAINER, words.WORKER_CONTAINER)
_WITHOUT_USER: Final = re.compile(
    # Not the SSH server's "Permission denied (publickey)": that is about a key, not about a file.
    r"permission denied(?! \()|unable to find user|no matching entries in passwd|cannot find name for user id"
    r"|\bEACCES\b|can not make a pipe in its workspace",
    re.IGNORECASE,
)
_DOUBTFUL_USER: Final = re.compile(
    r"runAsNonRoot|image has non-numeric user|image will run as root|must not run as root", re.IGNORECASE
)


def shorten(text: str) -> str:
    """Return `text` on printable lines, without secrets and short enough for a status."""
    clean = _clean(text)
    limit = words.RUN_RESULT_KEPT_MESSAGE_LIMIT
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def last_words(text: str) -> str:
    """Return the end of a termination message without secrets, from the beginning of a line where possible."""
    clean = _clean(text)
    if len(clean) <= LAST_WORDS:
        return clean
    end = clean[-LAST_WORDS:]
    _, line_break, whole_lines = end.partition("\n")
    return "..." + (whole_lines if line_break and whole_lines.strip() else end)


def with_user_fix(text: str, container: str) -> str:
    """Return what is said of a container, with the fix when it shows that its image lacks a fit user.

    Only our own containers' images must have the run's user; what kubelets demand of a user goes for every container.
    """
    if _DOUBTFUL_USER.search(text):
        return f"{NUMERIC_USER_FIX}: {text}"
    return f"{text} ({IMAGE_USER_FIX})" if container in _OURS and _WITHOUT_USER.search(text) else text


def sentence(*parts: str) -> str:
    """Return the parts that say something, joined as a text that goes from the general to the particular."""
    return ": ".join(part for part in parts if part)


def _clean(text: str) -> str:
    printable = "".join(each if each.isprintable() or each == "\n" else " " for each in text)
    return without_secrets(printable).strip()
