"""How long a container waits to run again."""

from devcluster.node.slots import Slot


def test_the_first_restart_is_at_once_and_later_ones_wait_longer() -> None:
    """Ten seconds, doubled each time, five minutes at most."""
    slot = Slot()
    assert [slot.restart_pause(1.0) for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_long_run_is_forgiven() -> None:
    """Who ran ten minutes begins anew."""
    slot = Slot(crashes=5)
    assert slot.restart_pause(601.0) == 0
    assert slot.restart_pause(599.0) == 10
