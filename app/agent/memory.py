"""What the process remembers of a Worker beside its status: nothing that a restart may not forget."""

from dataclasses import dataclass, field

from app.agent.decisions.outbox import Sent
from app.agent.decisions.starting import Problem


@dataclass(slots=True)
class Memory:
    """Of one Worker object, touched only by the thread that works on it.

    `connection` is the connection that `sent` holds for; `secret_gone` the attempt whose Secret was deleted;
    `made_secret` name and UID of the Secret of a claim that isn't recorded yet; `next_look` when the API server is
    asked again about a Pod that doesn't come or doesn't start; `announced_drain` is None when it must be said again;
    `problem` is what kept its Pod from starting when it was last looked at; `told_refusal` the attempt and the text of
    the refusal that was told last.
    """

    uid: str
    connection: tuple[int, int] = (0, 0)
    sent: dict[str, Sent] = field(default_factory=dict)
    announced_drain: tuple[bool, bool] | None = None
    secret_gone: tuple[str, int] | None = None
    made_secret: tuple[str, str] | None = None
    unregistered: bool = False
    next_look: float = 0.0
    problem: Problem | None = None
    told_refusal: tuple[tuple[str, int], str] | None = None
    _held: dict[str, tuple[str, float]] = field(default_factory=dict)

    def hold(self, what: str, label: str, now: float) -> float:
        """Return for how many seconds `what` has had this `label`; a new label starts at 0."""
        former = self._held.get(what)
        if former is None or former[0] != label:
            self._held[what] = (label, now)
            return 0.0
        return now - former[1]

    def of_connection(self, connection: tuple[int, int]) -> None:
        """Forget what was sent through another connection: it may be lost with it."""
        if self.connection != connection:
            self.connection = connection
            self.sent.clear()
            # What was said last may never have arrived, and a mothership that believes in a drain sends nothing.
            self.announced_drain = None
