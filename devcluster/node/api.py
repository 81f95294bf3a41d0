"""The node's client of the Kubernetes API: few verbs, typed errors, plain JSON.

Errors:

    ApiError            the API server answered with a failure
      NotFound          404
      Conflict          409: another object of that name, another uid, or an old resourceVersion
    ApiUnavailable      no answer, 429 or 5xx: ask again later
"""

import base64
import binascii
import json
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
import yaml

from devcluster.node.shapes import Json

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message = status, reason, message


class NotFound(ApiError):  # noqa: N818 - the API's own word
    """The object doesn't exist."""


class Conflict(ApiError):  # noqa: N818 - the API's own word
    """The object isn't the one that the request meant."""


class ApiUnavailable(Exception):  # noqa: N818 - a state of the server, not a mistake
    """The API server can't be reached or asks for patience."""


@dataclass(frozen=True)
class Access:
    """What a kubeconfig's current context says about reaching the API server."""

    server: str
    ca: bytes | None
    certificate: bytes | None = None
    key: bytes | None = None
    token: str | None = None


def load_access(path: Path) -> Access:
    """Read the current context of a kubeconfig; files it names are relative to it."""
    config: Json = yaml.safe_load(path.read_text())
    context = _named(config, "contexts", config["current-context"])["context"]
    cluster = _named(config, "clusters", context["cluster"])["cluster"]
    user = _named(config, "users", context["user"])["user"]
    token = user.get("token")
    if token is None and "tokenFile" in user:
        token = (path.parent / user["tokenFile"]).read_text().strip()
    return Access(
        server=cluster["server"],
        ca=_material(cluster, "certificate-authority", path.parent),
        certificate=_material(user, "client-certificate", path.parent),
        key=_material(user, "client-key", path.parent),
        token=token,
    )


def _named(config: Json, section: str, name: str) -> Json:
    """Return the entry of that name in one of a kubeconfig's lists."""
    for entry in config.get(section) or []:
        if entry["name"] == name:
            found: Json = entry
            return found
    raise ValueError(f"the kubeconfig has no {name!r} in its {section}")


def _material(entry: Json, key: str, folder: Path) -> bytes | None:
    """Return a certificate or key, given inline or by the name of a file."""
    if inline := entry.get(f"{key}-data"):
        try:
            return base64.b64decode(inline)
        except binascii.Error as error:
            raise ValueError(f"{key}-data of the kubeconfig isn't base64") from error
    return (folder / entry[key]).read_bytes() if key in entry else None


def _tls(access: Access) -> ssl.SSLContext:
    """Return a TLS context that trusts the cluster's CA and shows the client certificate."""
    context = ssl.create_default_context(cadata=access.ca.decode() if access.ca else None)
    if access.certificate and access.key:
        # The standard library loads client certificates from files only.
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(access.certificate + b"\n" + access.key)
            pair.flush()
            context.load_cert_chain(pair.name)
    return context


class ApiClient:
    """Calls the API server; safe to share between threads."""

    def __init__(self, access: Access, user_agent: str, connections: int = 16) -> None:
        where = urlsplit(access.server)
        self.access = access
        headers = {"Accept": "application/json", "User-Agent": user_agent}
        if access.token:
            headers["Authorization"] = f"Bearer {access.token}"
        options: dict[str, Any] = {
            "host": where.hostname or "localhost",
            "port": where.port or 443,
            "headers": headers,
            "ssl_context": _tls(access),
            "retries": False,
        }
        # Calls wait for a free connection, so that a burst of Pods doesn't become a burst of connections; watches
        # hold theirs for minutes and have their own pool.
        self._calls = urllib3.HTTPSConnectionPool(
            **options, maxsize=connections, block=True, timeout=urllib3.Timeout(connect=5, read=30)
        )
        self._streams = urllib3.HTTPSConnectionPool(**options, maxsize=4)

    def get(self, path: str, **params: str) -> Json:
        """Read one object or a list."""
        return self._call("GET", path, params=params)

    def post(self, path: str, body: Json) -> Json:
        """Create an object or use a subresource such as `binding` and `token`."""
        return self._call("POST", path, body=body)

    def put(self, path: str, body: Json) -> Json:
        """Replace an object."""
        return self._call("PUT", path, body=body)

    def patch(self, path: str, body: Json, kind: str = MERGE_PATCH) -> Json:
        """Patch an object; `kind` is the patch's content type."""
        return self._call("PATCH", path, body=body, content_type=kind)

    def delete(self, path: str, options: Json) -> Json:
        """Delete an object with DeleteOptions."""
        return self._call("DELETE", path, body=options)

    def watch(self, path: str, seconds: int, **params: str) -> Iterator[Json]:
        """Yield watch events until the server ends the stream or it breaks."""
        query = urlencode({**params, "watch": "true", "timeoutSeconds": str(seconds)})
        timeout = urllib3.Timeout(connect=5, read=seconds + 15)
        try:
            response = self._streams.request("GET", f"{path}?{query}", preload_content=False, timeout=timeout)
            try:
                if response.status != 200:
                    _raise_for(response.status, response.read(), None)
                yield from _lines(response)
            finally:
                response.close()
        except urllib3.exceptions.HTTPError as error:
            raise ApiUnavailable(str(error)) from error

    def _call(
        self,
        verb: str,
        path: str,
        body: Json | None = None,
        params: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Json:
        """Send one request and return the object in the answer."""
        url = f"{path}?{urlencode(params)}" if params else path
        headers = dict(self._calls.headers)
        if body is not None:
            headers["Content-Type"] = content_type
        data = None if body is None else json.dumps(body).encode()
        try:
            response = self._calls.urlopen(verb, url, body=data, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise ApiUnavailable(str(error)) from error
        if response.status >= 400:
            _raise_for(response.status, response.data, response.headers.get("Retry-After"))
        answer: Json = json.loads(response.data) if response.data else {}
        return answer


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[Json]:
    """Yield the JSON documents of a stream that has one on each line."""
    rest = b""
    for chunk in response.read_chunked():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield json.loads(line)


def _raise_for(status: int, data: bytes, retry_after: str | None) -> None:
    """Raise the error that an unsuccessful answer means."""
    try:
        details: Json = json.loads(data)
    except ValueError:
        details = {"message": data.decode("utf-8", "replace")}
    reason, message = details.get("reason", ""), details.get("message", "")
    if retry_after is not None or status == 429 or status >= 500:
        raise ApiUnavailable(f"{status} {reason}: {message}")
    raise {404: NotFound, 409: Conflict}.get(status, ApiError)(status, reason, message)
