"""Keeps the hooks' credentials: the Secret, this process's serving certificate, and Metacontroller's trust in it.

    Secret (ca.crt, ca.key, token) --GET, once a minute--> authority --signs--> certificate of this process, in memory
                                                               |
                                                               +--PATCH, when it differs--> both controllers' endpointConfigs

Every replica does the same with the same Secret, so it doesn't matter who comes first.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from app import vocabulary as words
from app.cluster.client import KubernetesApi
from app.cluster.errors import AlreadyExists, ApiError, Conflict, NotFound
from app.cluster.resources import COMPOSITE_CONTROLLERS, DECORATOR_CONTROLLERS, SECRETS
from app.webhook.authority import SERVING_LIFETIME, Pair
from app.webhook.serving import GivenCredentials
from app.webhook.trust import HookSecret, SecretError, Trust, trust_patch

LOOK_SECONDS: Final = 60.0
"""How often Secret and controllers are looked at while all is well."""

RETRY_SECONDS: Final = 3.0
"""How long until the next try while something is missing."""

_CONTROLLERS: Final = (
    (COMPOSITE_CONTROLLERS, words.POOL_CONTROLLER),
    (DECORATOR_CONTROLLERS, words.WORKER_CONTROLLER),
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Which Secret it is, and which names the hooks are called by."""

    namespace: str
    secret: str
    server_names: Sequence[str]


class Keeper:
    """A thread that brings credentials up to date; ``credentials`` is what the listener serves with."""

    def __init__(
        self,
        api: KubernetesApi,
        place: Place,
        credentials: GivenCredentials,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._api, self._place, self.credentials, self._now = api, place, credentials, now
        self._serving: tuple[bytes, Pair] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hook-credentials", daemon=True)
        self._fault = "the certificate of the hooks isn't there yet"

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def serves(self) -> bool:
        """Whether hooks can be called: there is a certificate that is valid now."""
        return self._serving is not None and self._serving[1].not_after > self._now()

    @property
    def fault(self) -> str:
        """What is wrong now; empty when nothing is."""
        return self._fault

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, deadline_seconds: float) -> None:
        """End the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(deadline_seconds)

    def bring_up_to_date(self) -> None:
        """Look once at everything and mend what isn't as it should be. Raises ApiError or SecretError."""
        secret = self._secret()
        self._serve(secret)
        trust = self._trust(secret)
        for resource, name in _CONTROLLERS:
            patch = trust_patch(self._api.get(resource, None, name), trust)
            if patch is None:
                continue
            found = self._api.merge_patch(resource, None, name, patch)
            if trust_patch(found, trust) is not None:
                text = f"the definition of {resource} doesn't know endpointConfigs: Metacontroller 4.17 or newer is needed"
                raise SecretError(text)
            _log.info("hook_trust_told", controller=name)

    def _trust(self, secret: HookSecret) -> Trust:
        wants_token = self.credentials.wants_token
        token = {
            "name": self._place.secret,
            "namespace": self._place.namespace,
            "key": words.HOOK_TOKEN_KEY,
        }
        return Trust(secret.bundle(with_token=wants_token), token if wants_token else None)

    def _secret(self) -> HookSecret:
        namespace, name = self._place.namespace, self._place.secret
        try:
            found = self._api.get(SECRETS, namespace, name)
        except NotFound:
            return self._create(None)
        try:
            secret = HookSecret.read(found)
        except SecretError as error:
            raise SecretError(f"Secret {namespace}/{name}: {error}") from None
        if not secret.authority.wants_renewal(self._now()):
            return secret
        try:
            self._api.delete(SECRETS, namespace, name, uid=found["metadata"]["uid"])
        except (NotFound, Conflict):
            # Another replica was faster.
            return HookSecret.read(self._api.get(SECRETS, namespace, name))
        return self._create(secret)

    def _create(self, former: HookSecret | None) -> HookSecret:
        namespace, name = self._place.namespace, self._place.secret
        made = HookSecret.make(self._now(), former)
        try:
            self._api.create(SECRETS, namespace, made.to_object(name, namespace))
        except AlreadyExists:
            return HookSecret.read(self._api.get(SECRETS, namespace, name))
        _log.info("hook_authority_made", secret_name=f"{namespace}/{name}", renewed=former is not None)
        return made

    def _serve(self, secret: HookSecret) -> None:
        self.credentials.use_token(secret.token)
        bundle = secret.authority.bundle
        if self._serving is not None:
            signed_by, pair = self._serving
            if signed_by == bundle and pair.not_after - self._now() > SERVING_LIFETIME / 3:
                return
        pair = secret.authority.issue(self._place.server_names, self._now())
        self.credentials.use(pair.certificate, pair.key)
        self._serving = bundle, pair
        _log.info("hook_certificate_issued", not_after=pair.not_after.isoformat())

    def _run(self) -> None:
        pause = 0.0
        while not self._stopping.wait(pause):
            try:
                self.bring_up_to_date()
            except ApiError as error:
                self._tell(str(error))
                pause = RETRY_SECONDS
            except SecretError as error:
                # Somebody has to do something: asking more often won't help.
                self._tell(str(error))
                pause = LOOK_SECONDS
            except Exception as error:  # noqa: BLE001 - without this thread certificates would end
                self._tell(f"{type(error).__name__}: {error}")
                pause = LOOK_SECONDS
            else:
                self._fault, pause = "", LOOK_SECONDS

    def _tell(self, fault: str) -> None:
        if fault != self._fault:
            _log.warning("hook_credentials_incomplete", error=fault)
        self._fault = fault
