"""Errors of the operator's pure side.

    OperatorError
      HookRequestError    a hook's body isn't what Metacontroller sends; answered with 400 and the field named
      PodSettingsError    a pool's frozen ``spec.pod`` can't be turned into a Pod; names the field
      FipsError           FIPS 140 mode is asked for and not there

The first two say where the fault is and what was expected there, never the offending value: it may be a secret.
"""

from __future__ import annotations


class OperatorError(Exception):
    """Base of every error that the operator raises itself."""


class FieldError(OperatorError):
    """Something at a named field isn't as it must be.

    `field` is the path as a user would write it (``parent.metadata.name``), `message` says what was expected.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class HookRequestError(FieldError):
    """The body of a hook call is malformed."""


class PodSettingsError(FieldError):
    """The pool's settings for run Pods have a shape that no Pod can be built from."""


class FipsError(OperatorError):
    """FIPS 140 mode is asked for and not there; the text says what was found instead, and the remedy."""
