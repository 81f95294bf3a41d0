"""Every watch of the operator ends without a word, again and again."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Drop the watches twice a second."""
    with world.api_answers("operator-api", lambda _: None) as proxy:
        dropped = 0
        for _ in range(20):
            world.wait(0.5)
            dropped += proxy.drop_watches()
        assert dropped > 20, f"only {dropped} watches were dropped"
