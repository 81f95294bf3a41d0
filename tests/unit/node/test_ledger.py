"""What the Pods of the node have asked for, as a running sum."""

from typing import Any

from devcluster.node.fit import Load
from devcluster.node.ledger import Ledger

Json = dict[str, Any]


def pod(uid: str, cpu: str = "1", phase: str = "Pending") -> Json:
    """Return a Pod that asks for CPU."""
    resources = {"requests": {"cpu": cpu}}
    return {
        "metadata": {"uid": uid},
        "spec": {"containers": [{"name": "c", "resources": resources}]},
        "status": {"phase": phase},
    }


def held(ledger: Ledger) -> tuple[float, int]:
    """Return the CPU and the number of Pods that a newcomer finds."""
    load = ledger.others(pod("newcomer"))
    return float(load.requested.get("cpu", 0)), load.pods


def test_a_pod_counts_once_however_often_it_is_seen() -> None:
    """Booked by the scheduler and shown by the watch, it is one Pod."""
    ledger = Ledger()
    assert ledger.try_book(pod("a"), lambda load: load.pods == 0)
    ledger.upsert(pod("a"))
    ledger.upsert(pod("a", phase="Running"))
    assert held(ledger) == (1, 1)
    assert ledger.others(pod("a")).pods == 0


def test_a_pod_that_is_over_frees_what_it_held() -> None:
    """And whoever waits is told, once."""
    ledger, told = Ledger(), list[str]()
    ledger.on_free = lambda: told.append("free")
    ledger.upsert(pod("a"))
    ledger.upsert(pod("b", "500m"))
    ledger.upsert(pod("a", phase="Succeeded"))
    ledger.remove(pod("a"))
    assert held(ledger) == (0.5, 1)
    assert told == ["free"]


def test_a_failed_binding_is_taken_back_unless_the_watch_saw_the_pod() -> None:
    """A binding that went through although its answer was lost holds its room."""
    ledger = Ledger()
    ledger.try_book(pod("a"), _yes)
    ledger.unbook(pod("a"))
    assert held(ledger) == (0, 0)
    ledger.try_book(pod("b"), _yes)
    ledger.upsert(pod("b"))
    ledger.unbook(pod("b"))
    assert held(ledger) == (1, 1)


def test_what_does_not_fit_is_not_booked() -> None:
    """The check sees the others only."""
    ledger = Ledger()
    assert not ledger.try_book(pod("a"), _no)
    assert held(ledger) == (0, 0)


def _yes(_: Load) -> bool:
    return True


def _no(_: Load) -> bool:
    return False
