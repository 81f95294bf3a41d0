"""Between the true messages come spoiled ones: cut off, altered in a field, of unknown kinds, or no text at all."""

import json
from collections.abc import Iterator
from random import Random

from tests.faults.scenario import scenario
from tests.faults.wire import Overheard
from tests.faults.world import World


def spoiled(payload: bytes, chance: Random) -> bytes:
    """Return the payload with something wrong in it."""
    body = json.loads(payload)
    field = chance.choice(sorted(body))
    return chance.choice(
        (
            payload[: chance.randrange(len(payload))],
            b"\xff\xfe" + payload,
            b"[" + payload + b"]",
            json.dumps(body | {"type": "no_such_type"}).encode(),
            json.dumps(body | {field: None}).encode(),
            json.dumps(body | {field: [{}]}).encode(),
            json.dumps({name: value for name, value in body.items() if name != field}).encode(),
        )
    )


@scenario(rounds=1)
def inject(world: World) -> None:
    """Publish a spoiled copy of each message right after it, and another later."""

    def hear(message: Overheard) -> Iterator[tuple[float, Overheard]]:
        for seconds in (0.0, 1.0):
            yield seconds, Overheard(message.topic, spoiled(message.payload, world.random))

    with world.overheard(hear) as wire:
        world.until(lambda: wire.published >= 60, "spoiled messages were published")
