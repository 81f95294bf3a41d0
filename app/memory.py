"""Keeps the process small: large request bodies go back to the system when they are done with.

glibc gives each of the hook threads an arena of its own and, once a body of a megabyte was freed, serves the next ones
from it: a burst of pool syncs then leaves hundreds of megabytes behind that nothing uses. Elsewhere (musl) there is
nothing to set and nothing is set.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""Numbers of mallopt(3), from glibc's malloc.h."""

ARENAS: Final = 2
"""Arenas for all threads together: the interpreter's lock lets one allocate at a time anyway."""

LARGE_BYTES: Final = 256 * 1024
"""Allocations from this size on are mapped alone and unmapped when freed; setting it stops glibc from raising it."""


def bound_allocator() -> bool:
    """Set glibc's allocator up for few arenas and mapped large blocks; return whether that was possible."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = {_M_ARENA_MAX: ARENAS, _M_MMAP_THRESHOLD: LARGE_BYTES, _M_TRIM_THRESHOLD: LARGE_BYTES}
    done = [mallopt(option, value) == 1 for option, value in wanted.items()]
    return all(done)


COLLECT_AFTER: Final = 50_000
"""Allocations between two looks of the garbage collector, instead of 700: parsing a pool of 1,000 Workers makes tens of
thousands of dicts, none of them garbage, and looking at all of them again and again cost a third of the hook's time."""


def relax_collector() -> None:
    """Look for cycles less often, and never at what the program is made of. Called once, when everything is built."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 20)
