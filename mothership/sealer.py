"""Run tokens and the sealed payloads that carry them to an attempt."""

import secrets

from mothership.decisions.states import Attempt, Rules
from mothership.storage.runs import Sealed, hash_token
from protocol.sealing import RunPayload, SealingKey

_TOKEN_BYTES = 32
_WORKSPACE_KEY_BYTES = 32


class Sealer:
    """Makes a fresh run token and workspace key for an attempt and forgets both once they are sealed.

    While a run has a single stage, nothing later needs its workspace key, so it lives in the sealed payload only.
    """

    def __init__(self, api_endpoint: str, rules: Rules) -> None:
        self._api_endpoint = api_endpoint
        self._rules = rules
        self._keys: dict[str, SealingKey] = {}

    def seal(self, attempt: Attempt, public_key: str) -> Sealed:
        """Return the payload for the holder of the pool's private key, and what the token is known by."""
        key = self._keys.get(public_key)
        if key is None:
            key = self._keys[public_key] = SealingKey(public_key.encode("ascii"))
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        payload = RunPayload(
            api_endpoint=self._api_endpoint,
            run_token=token,
            workspace_key=secrets.token_bytes(_WORKSPACE_KEY_BYTES),
        )
        patience = self._rules.acceptance_timeout + self._rules.start_timeout + self._rules.token_lifetime
        return Sealed(key.seal(payload), hash_token(token), attempt.assigned_at + patience)
