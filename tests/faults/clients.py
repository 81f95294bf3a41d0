"""The suite's own ways to the API server and the mothership: straight, past every relay and every fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from devcluster.cluster import Cluster

JSON_TYPE = "application/json"
MERGE_PATCH = "application/merge-patch+json"
TIMEOUT = urllib3.Timeout(connect=3.0, read=15.0)


class CallError(Exception):
    """A call had no answer, or one that isn't success; `status` is None without an answer."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class JsonClient:
    """Calls that send and return JSON, on connections that are kept."""

    def __init__(self, base: str, pool: urllib3.PoolManager, headers: dict[str, str]) -> None:
        self._base, self._pool, self._headers = base.rstrip("/"), pool, headers

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: dict[str, str] | None = None,
        content_type: str = JSON_TYPE,
    ) -> Any:  # noqa: ANN401 - JSON
        """Return the answer; raise `CallError`. Nothing is tried twice: a call whose answer is lost may have worked."""
        where = f"{method} {path}"
        try:
            answer = self._pool.request(
                method,
                self._base + path + (f"?{urlencode(query)}" if query else ""),
                body=None if body is None else json.dumps(body),
                headers=self._headers | {"Content-Type": content_type},
                retries=False,
                timeout=TIMEOUT,
            )
        except HTTPError as error:
            raise CallError(f"{where}: {error}") from error
        if answer.status >= 300:
            raise CallError(f"{where}: {answer.status} {answer.data[:300]!r}", answer.status)
        return json.loads(answer.data) if answer.data else None

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.clear()


def api_server(cluster: Cluster) -> JsonClient:
    """Return a client with every right."""
    certs = cluster.site.certs
    pool = urllib3.PoolManager(
        maxsize=4,
        ca_certs=str(certs / "ca.crt"),
        cert_file=str(certs / "admin.crt"),
        key_file=str(certs / "admin.key"),
    )
    return JsonClient(cluster.site.url("kube-apiserver"), pool, {"Accept": JSON_TYPE})


def mothership(cluster: Cluster) -> JsonClient:
    """Return a client of the mothership's admin API."""
    env = cluster.env()
    token = Path(env["MOTHERSHIP_ADMIN_TOKEN_FILE"]).read_text().strip()
    pool = urllib3.PoolManager(maxsize=4, ca_certs=env["MOTHERSHIP_CA"])
    return JsonClient(env["MOTHERSHIP_ENDPOINT"], pool, {"Authorization": f"Bearer {token}"})
