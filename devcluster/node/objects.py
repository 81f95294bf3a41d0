"""The API objects that belong to one Pod: itself, the Secrets and ConfigMaps it names, its tokens."""

import logging

from devcluster.node.api import ApiClient, ApiError, ApiUnavailable, Conflict, NotFound
from devcluster.node.env import object_data
from devcluster.node.shapes import Json
from devcluster.node.volumes import VolumeError

log = logging.getLogger(__name__)

_TOKEN_SECONDS = 3607
_PLURALS = {"Secret": "secrets", "ConfigMap": "configmaps"}


class PodObjects:
    """Reads and writes on behalf of one Pod."""

    def __init__(self, client: ApiClient, pod: Json) -> None:
        metadata = pod["metadata"]
        self._client, self._pod, self._uid = client, pod, metadata["uid"]
        self._namespace = f"/api/v1/namespaces/{metadata['namespace']}"
        self.path = f"{self._namespace}/pods/{metadata['name']}"

    def data(self, kind: str, name: str) -> dict[str, bytes] | None:
        """Return the data of a Secret or ConfigMap, None when it doesn't exist."""
        try:
            item = self._client.get(f"{self._namespace}/{_PLURALS[kind]}/{name}")
        except NotFound:
            return None
        return object_data(item | {"kind": kind})

    def token(self, projection: Json) -> str:
        """Return a token of the Pod's ServiceAccount that is good as long as the Pod is."""
        metadata = self._pod["metadata"]
        account = self._pod["spec"].get("serviceAccountName") or "default"
        audience = projection.get("audience")
        spec: Json = {
            "audiences": [audience] if audience else [],
            "expirationSeconds": projection.get("expirationSeconds") or _TOKEN_SECONDS,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": self._uid},
        }
        try:
            answer = self._client.post(f"{self._namespace}/serviceaccounts/{account}/token", {"spec": spec})
        except ApiError as error:
            raise VolumeError(f"failed to fetch token: {error.message}") from error
        token: str = answer["status"]["token"]
        return token

    def let_go(self) -> bool:
        """Delete the Pod's object now that nothing of it runs; return False when that must be tried again."""
        options: Json = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": self._uid},
        }
        try:
            self._client.delete(self.path, options)
        except (NotFound, Conflict):
            return True
        except (ApiUnavailable, ApiError) as error:
            log.warning("pod not deleted yet: path=%s error=%s", self.path, error)
            return False
        return True
