"""What the Pods of the node have asked for, kept as a running sum: a burst of Pods must not be added up for each of them."""

import threading
from collections.abc import Callable
from decimal import Decimal

from devcluster.node.fit import Load, requests
from devcluster.node.shapes import Json


class Ledger:
    """Requests by Pod; the scheduler books what it binds, the watch confirms and frees it.

    `on_free` is called after something was freed, from the thread that freed it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._booked: dict[str, dict[str, Decimal]] = {}
        self._confirmed: set[str] = set()
        self._total: dict[str, Decimal] = {}
        self.on_free: Callable[[], None] = lambda: None

    def upsert(self, item: Json) -> None:
        """Take a Pod of this node that is new or has changed."""
        if (item.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            self.remove(item)
            return
        with self._lock:
            self._book(item)
            self._confirmed.add(item["metadata"]["uid"])

    def remove(self, item: Json) -> None:
        """Forget a Pod that is gone or over."""
        uid = item["metadata"]["uid"]
        with self._lock:
            self._confirmed.discard(uid)
            freed = self._booked.pop(uid, None)
            if freed is None:
                return
            for name, amount in freed.items():
                self._total[name] -= amount
        self.on_free()

    def unbook(self, pod: Json) -> None:
        """Forget a Pod whose binding failed, unless the watch has shown that it is here all the same."""
        with self._lock:
            if pod["metadata"]["uid"] in self._confirmed:
                return
        self.remove(pod)

    def others(self, pod: Json) -> Load:
        """Return what all Pods but this one have asked for."""
        with self._lock:
            own = self._booked.get(pod["metadata"]["uid"])
            requested = dict(self._total)
            for name, amount in (own or {}).items():
                requested[name] -= amount
            return Load(requested, len(self._booked) - (own is not None))

    def try_book(self, pod: Json, fits: Callable[[Load], bool]) -> bool:
        """Count a Pod if it fits beside the others, in one step."""
        with self._lock:
            if not fits(self.others(pod)):
                return False
            self._book(pod)
            return True

    def _book(self, pod: Json) -> None:
        """Count a Pod, once: its requests can't change while it lives; the lock is held."""
        uid = pod["metadata"]["uid"]
        if uid in self._booked:
            return
        self._booked[uid] = requests(pod)
        for name, amount in self._booked[uid].items():
            self._total[name] = self._total.get(name, Decimal(0)) + amount
