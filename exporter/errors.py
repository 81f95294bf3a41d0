"""What can go wrong, by what is done about it. Texts hold no secret."""


class ExporterError(Exception):
    """Anything that the exporter reports."""


class UsageError(ExporterError):
    """The command line can't be meant; exit status 2."""


class StartupError(ExporterError):
    """A value that can be read but not used; exit status 1."""


class ApiError(ExporterError):
    """The API gave no answer that can be used."""


class DeadlineError(ApiError):
    """The answer didn't come in time."""


class UnauthorizedError(ApiError):
    """The token isn't accepted: another one may be."""


class UnsupportedError(ApiError):
    """The backend doesn't have a field, or not for API keys: asking again soon is no use."""


class AnswerError(ApiError):
    """The answer isn't what the API's schema promises; the text names the field."""
