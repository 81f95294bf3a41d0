"""What one reconciliation of a Worker is about; no decisions."""

from dataclasses import dataclass

from app.agent.memory import Memory
from app.agent.pool_state import PoolView
from app.agent.runtime import Key
from app.agent.session import Session


@dataclass(frozen=True, slots=True)
class Case:
    """The Worker's key, what is remembered of it, its pool (None: gone), and the session it is told about through."""

    key: Key
    memory: Memory
    pool: PoolView | None
    session: Session | None

    @property
    def connected(self) -> bool:
        """Whether something can be told right now."""
        return self.session is not None and self.session.state.ready
