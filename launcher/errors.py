"""What can go wrong in the launcher; retry decisions read the type, never the text.

LauncherError
├── SettingsError            environment or credentials
├── WorkspaceError           the workspace can't be prepared as the details ask
│   └── CheckoutError        the source can't be checked out
├── InterruptedRunError      the work must end now; `outcome` says why
└── ApiError                 a call to the mothership
    ├── RetryError           ask again, after `retry_after` seconds where it is known
    │   ├── UnavailableError   no answer, 408, 429 or 5xx
    │   └── NotYetError        425: the operator hasn't reported this Pod yet
    ├── ConflictError        409: closed, another Pod's, or a gap in the log (`offset`)
    ├── UnauthorizedError    401, 403: the run token isn't accepted
    └── AnswerError          any other answer, or one that can't be read

No text of these ever holds the run token or a URL's user information.
"""

from launcher.exits import Exit
from protocol.runs import Outcome


class LauncherError(Exception):
    """Base of the tree."""


class SettingsError(LauncherError):
    """Environment or credentials are missing or wrong."""


class WorkspaceError(LauncherError):
    """The workspace can't be prepared as the details ask."""


class CheckoutError(WorkspaceError):
    """The source can't be checked out."""


class InterruptedRunError(LauncherError):
    """The work must end now: a stop, a lost lease, or the Pod is being deleted."""

    def __init__(self, outcome: Outcome, code: Exit) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome
        self.code = code


class ApiError(LauncherError):
    """A call to the mothership that didn't give what it should."""


class RetryError(ApiError):
    """The same call may succeed later."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(RetryError):
    """No answer, or one that says that the mothership can't answer now."""


class NotYetError(RetryError):
    """425: the claim has to wait until the operator has reported this Pod."""


class ConflictError(ApiError):
    """409: final for a claim; for a log chunk `offset` says where to go on."""

    def __init__(self, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset


class UnauthorizedError(ApiError):
    """The run token isn't accepted (any more)."""


class AnswerError(ApiError):
    """An answer that the protocol doesn't have here."""
