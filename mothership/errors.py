"""What can go wrong in the mothership, as types.

MothershipError             a sentence fit for the person who asked; never holds a secret
├── BadRequestError         the request itself is wrong (HTTP 400, exit status 2)
├── UnauthorizedError       no or a wrong token (401)
├── ForbiddenError          a token of something else (403)
├── UnknownError            what was named doesn't exist (404)
├── ClashError              it exists already, or is closed (409)
├── TooEarlyError           ask again in a moment (425)
├── TooLargeError           a body beyond its limit (413)
├── UnavailableError        the disk is full, or the database can't be used for another reason (503)
└── SetupError              files, flags or versions on this machine are not usable
"""


class MothershipError(Exception):
    """Root of the tree; `status` is the HTTP status that carries it."""

    status = 500


class BadRequestError(MothershipError):
    """The request itself is wrong; the text names the field."""

    status = 400


class UnauthorizedError(MothershipError):
    """The bearer token is missing, wrong or revoked."""

    status = 401


class ForbiddenError(MothershipError):
    """The bearer token belongs to something else."""

    status = 403


class UnknownError(MothershipError):
    """What the request names doesn't exist."""

    status = 404


class ClashError(MothershipError):
    """The request contradicts what is stored, for good."""

    status = 409


class TooEarlyError(MothershipError):
    """The request may succeed when it is repeated a little later."""

    status = 425


class TooLargeError(MothershipError):
    """The body is larger than its limit."""

    status = 413


class UnavailableError(MothershipError):
    """Nothing was stored and nothing is lost: the request, repeated later, succeeds."""

    status = 503


class SetupError(MothershipError):
    """Files, flags or versions on this machine are not usable."""
