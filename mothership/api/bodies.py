"""Request bodies: size limits, JSON, gzip."""

import zlib

from flask import request

from mothership.errors import BadRequestError, TooLargeError

JSON_LIMIT = 1024 * 1024
CHUNK_LIMIT = 4 * 1024 * 1024
"""Largest log chunk as sent and as unpacked: a launcher sends far smaller ones, a gzip bomb is larger."""


def json_body() -> dict[str, object]:
    """Return the body as a JSON object; raise `BadRequestError` or `TooLargeError`."""
    raw = raw_body(JSON_LIMIT)
    data = request.get_json(force=True, silent=True) if raw else {}
    if not isinstance(data, dict):
        raise BadRequestError("the body must be a JSON object")
    return data


def raw_body(limit: int) -> bytes:
    """Return the body as it is; raise `TooLargeError` beyond `limit` bytes."""
    if (request.content_length or 0) > limit:
        raise TooLargeError(f"the body has {request.content_length} bytes, the limit is {limit}")
    request.max_content_length = limit
    return request.get_data(cache=True)


def log_chunk() -> bytes:
    """Return a log chunk, unpacked if it is gzip."""
    data = raw_body(CHUNK_LIMIT)
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding == "identity":
        return data
    if encoding != "gzip":
        raise BadRequestError(f"Content-Encoding: {encoding!r} is not supported, send gzip or none")
    return _gunzip(data)


def _gunzip(data: bytes) -> bytes:
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(data, CHUNK_LIMIT)
    except zlib.error:
        raise BadRequestError("the body is not gzip, though Content-Encoding says so") from None
    if unpacker.unconsumed_tail:
        raise TooLargeError(f"the unpacked body is larger than {CHUNK_LIMIT} bytes")
    if not unpacker.eof:
        raise BadRequestError("the gzip body is cut off")
    return plain
