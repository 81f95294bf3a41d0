"""All fences, in the order of the table: importing the registers fills the list."""

from tests.mutations import (
    fences_agent,
    fences_hooks,
    fences_launcher,
    fences_mothership,
    fences_sweep,
    fences_writes,
)
from tests.mutations.registry import FENCES, Fence

ORDER = ("Fence", "Rule", "Finalizer", "Owner", "Precondition", "Order", "Identity")
_registers = (fences_hooks, fences_agent, fences_mothership, fences_launcher, fences_writes, fences_sweep)


def all_fences() -> list[Fence]:
    """Return every fence, sorted by what of the design it belongs to."""
    return sorted(FENCES, key=lambda each: (ORDER.index(each.part.split()[0].strip(":")), each.part))
