"""Names that must be unique in a run Pod: those of its containers and of its volumes.

The CRD refuses a second one; this names the field when a revision still has it, before the API server refuses
the whole Pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.errors import PodSettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.children.pod_settings import Settings


def check_names(items: Iterable[Settings], taken: Iterable[str], kind: str) -> None:
    """Raise PodSettingsError at the first of the user's `items` without a name, or with one that is taken.

    `taken` are the names of ours; `kind` says what the items are, for the message.
    """
    seen = set(taken)
    for item in items:
        name = item.needed_text("name")
        if name in seen:
            raise PodSettingsError(
                f"{item.path}.name",
                f"is the name of another {kind} of the run Pod; give this {kind} a name of its own",
            )
        seen.add(name)
