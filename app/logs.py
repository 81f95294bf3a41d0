"""Structured logs: JSON lines off a terminal, and nothing secret or endless in them.

Everything goes one way, the standard library's loggers (gunicorn, werkzeug, kubernetes, urllib3) included: context is
bound, secrets are taken out, long strings are cut, then it is rendered. Redaction sits here, at the boundary, because the
one place that forgets it would be the one that leaks.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

STRING_LIMIT: Final = 4096
"""Longest string in a log line, in characters."""

REDACTED: Final = "[redacted]"
"""What stands in the place of a secret."""

_DEEPEST: Final = 8
_MOST_ITEMS: Final = 200

_SECRET_KEYS: Final = re.compile(
    r"token|secret|password|passphrase|private[-_]?key|workspace[-_]?key|payload|authorization|credential|cookie|bearer",
    re.IGNORECASE,
)
# Names of objects that hold secrets, and how many there are, are no secrets, and they are what one needs to debug.
_INNOCENT_KEYS: Final = re.compile(r"(name|uid|count|type|bytes|length|version|_at)$", re.IGNORECASE)

# Between the lines of a PEM: line breaks, spaces where a shell has joined them, or the escapes of a JSON text.
_PEM_BREAK: Final = r"(?:\s|\\[nr])"
_SECRET_TEXT: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)"  # PEM, cut off ones too
    # The tail of a PEM whose front was cut off: a piece of a line, whole lines, the last line. The number of lines has
    # a bound (8192 bits of RSA have 100) and nothing is tried twice, so that long texts take no quadratic time.
    rf"|(?<![A-Za-z0-9+/])(?:[A-Za-z0-9+/]++={{0,2}}+{_PEM_BREAK}++)?(?:[A-Za-z0-9+/]{{40,}}+={{0,2}}+{_PEM_BREAK}++){{0,120}}+"
    rf"(?:[A-Za-z0-9+/]++={{0,2}}+{_PEM_BREAK}*+)?-----END [A-Z0-9 ]++(?:-----|-*\Z)"
    r"|LS0tLS1CRUdJTi[A-Za-z0-9+/=\s]*"  # PEM in base64
    r"|\bey[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){2,4}"  # JWT: 3 parts, JWE: 5; the header is a JSON object
    r"|\beyJ[A-Za-z0-9+/=_-]{60,}"  # base64 of a JSON object: a pool's token
    r"|[A-Za-z0-9+/]{120,}={0,2}"  # base64 of anything long: a key's body
    r"|(?:(?<=bearer )|(?<=authorization: basic ))[A-Za-z0-9._~+/=-]{8,}"
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)",  # user and password of a URL
    re.IGNORECASE | re.DOTALL,
)
_NOISY: Final = {"urllib3": logging.WARNING, "kubernetes": logging.WARNING, "werkzeug": logging.WARNING}


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines; what can't be written is not shown as it was, as the standard library would do."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - a name of the standard library
        """Say that a line was lost, without its fields: they were not redacted yet."""
        with contextlib.suppress(Exception):
            self.stream.write(f'{{"level":"error","event":"log_line_lost","logger":"{record.name}"}}\n')


def configure(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Send every logger of the process through the one chain; call it once in each process."""
    output = stream or sys.stderr
    on_terminal = log_format == "console" or (log_format == "auto" and output.isatty())
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = _Handler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                redact,
                _console(output) if on_terminal else _render_json,
            ],
        )
    )
    _take_over(handler, getattr(logging, level.upper()))


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Take secrets out of the whole event and bound its strings. The last processor before rendering."""
    return {key: _clean(key, value, 0) for key, value in event.items()}


def without_secrets(text: str) -> str:
    """Return the text without anything that looks like a key or a token, of whatever length; for who cuts it himself."""
    return _SECRET_TEXT.sub(REDACTED, text)


def redact_text(text: str) -> str:
    """Return the text without anything that looks like a key or a token, cut to a bearable length."""
    # Cut only after redacting: a key cut in half would not look like one any more.
    cleaned = without_secrets(text)
    if len(cleaned) <= STRING_LIMIT:
        return cleaned
    return f"{cleaned[:STRING_LIMIT]}... ({len(cleaned)} characters)"


def _clean(key: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if _SECRET_KEYS.search(key) and not _INNOCENT_KEYS.search(key):
        return REDACTED
    if depth >= _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {redact_text(str(k)): _clean(str(k), v, depth + 1) for k, v in _first(value).items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item, depth + 1) for item in list(value)[:_MOST_ITEMS]]
    if isinstance(value, bytes | bytearray):
        return redact_text(bytes(value).decode("utf-8", "backslashreplace"))
    return redact_text(str(value))


def _first(value: Mapping[Any, Any]) -> dict[Any, Any]:
    return dict(list(value.items())[:_MOST_ITEMS])


def _render_json(_logger: WrappedLogger, _method: str, event: MutableMapping[str, Any]) -> str:
    ordered = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return orjson.dumps(
        {**ordered, **event}, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_SUBCLASS
    ).decode()


def _console(output: TextIO) -> Processor:
    # The pretty traceback prints local variables, and with them whatever secret a function held.
    return structlog.dev.ConsoleRenderer(
        colors=output.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _take_over(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in list(logging.root.manager.loggerDict):
        # gunicorn and others bring handlers of their own, which would write past the redaction.
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    for name, least in _NOISY.items():
        logging.getLogger(name).setLevel(max(level, least))
