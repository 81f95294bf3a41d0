"""The kubelet's HTTPS API as far as it is needed: container logs, `/pods`, `/healthz`.

Callers must show a client certificate of the cluster's CA; in practice that is the API server, which has
authorized the user before it asks.
"""

import datetime as dt
import ipaddress
import json
import logging
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from devcluster.node.logs import LogOptions, read_log
from devcluster.node.pods import Pods
from devcluster.node.times import parse

log = logging.getLogger(__name__)

_HANDSHAKE_SECONDS = 10.0


@dataclass(frozen=True)
class ServingCertificate:
    """Files of the server's certificate and key, and of the CA that its clients' certificates come from."""

    certificate: Path
    key: Path
    client_ca: Path


class KubeletServer(ThreadingHTTPServer):
    """Serves the kubelet's API; every connection has a thread of its own."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], pods: Pods, health: Callable[[], list[str]]) -> None:
        self.pods, self.health = pods, health
        super().__init__(address, _Handler)

    def secure(self, files: ServingCertificate) -> None:
        """Begin to require TLS with a client certificate; called before serving."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(files.certificate, files.key)
        context.load_verify_locations(files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        # The handshake is left to the connection's thread: a silent client must not stop the others.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's signature
        """Log a connection's failure quietly: clients leave in the middle of a log all the time."""
        log.debug("connection failed: client=%s error=%s", client_address, sys.exception())


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: KubeletServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Shake hands within a time limit."""
        self.request.settimeout(_HANDSHAKE_SECONDS)
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        self.request.settimeout(None)
        super().setup()

    def do_GET(self) -> None:
        """Answer a request."""
        url = urlsplit(self.path)
        parts = url.path.strip("/").split("/")
        if parts == ["healthz"]:
            lines = ["ok", *self.server.health()]
            self._answer(200, "\n".join(lines).encode())
        elif parts == ["pods"]:
            body = {"apiVersion": "v1", "kind": "PodList", "items": self.server.pods.listing()}
            self._answer(200, json.dumps(body).encode(), "application/json")
        elif len(parts) == 4 and parts[0] == "containerLogs":
            self._logs(parts[1], parts[2], parts[3], parse_qs(url.query))
        else:
            self._answer(404, b"the process node doesn't serve this\n")

    def do_POST(self) -> None:
        """Refuse exec, attach and port-forward."""
        self._answer(501, b"the process node serves logs only: no exec, attach or port-forward\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log requests at debug level."""
        log.debug("kubelet api: %s", format % args)

    def _logs(self, namespace: str, pod: str, container: str, query: dict[str, list[str]]) -> None:
        """Stream a container's log."""
        try:
            options = log_options(query, time.time())
            previous = _flag(query, "previous")
            path, live = self.server.pods.find_log(namespace, pod, container, previous=previous)
        except ValueError as error:
            self._answer(400, f"{error}\n".encode())
        except KeyError as error:
            self._answer(404, f"{error.args[0]}\n".encode())
        else:
            self._stream(read_log(path, live, options))

    def _stream(self, pieces: Iterator[bytes]) -> None:
        """Send pieces as they come."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            if piece:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _answer(self, code: int, body: bytes, kind: str = "text/plain") -> None:
        """Send a short answer."""
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def log_options(query: dict[str, list[str]], now: float) -> LogOptions:
    """Return what a request for a log asks for."""
    since = float(now - int(query["sinceSeconds"][0])) if "sinceSeconds" in query else None
    if "sinceTime" in query:
        since = parse(query["sinceTime"][0])
    return LogOptions(
        follow=_flag(query, "follow"),
        timestamps=_flag(query, "timestamps"),
        tail=int(query["tailLines"][0]) if "tailLines" in query else None,
        since=since,
        limit_bytes=int(query["limitBytes"][0]) if "limitBytes" in query else None,
        stream=query.get("stream", ["All"])[0],
    )


def _flag(query: dict[str, list[str]], name: str) -> bool:
    """Return a boolean of a query."""
    return query.get(name, ["false"])[0] in {"true", "1"}


def self_signed(folder: Path, name: str, address: str) -> tuple[Path, Path]:
    """Write a serving certificate of the node's own, as a kubelet does that is given none, and return the files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{name}@self")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(address))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=365))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "kubelet.crt", folder / "kubelet.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key_file.write_bytes(key.private_bytes(*pem))
    return certificate_file, key_file
