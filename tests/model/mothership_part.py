"""The mothership in the model: its own desk, storage and rules on an SQLite database in memory.

A state is what the tables hold, with times reduced to "there is one": any repeat may be due, any silence long. Each
operation puts a state into the tables, calls the product, and reads the tables again; (state, operation) is remembered,
so that a search of millions of transitions calls the product some thousand times.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import sqlalchemy as sa

from mothership import desk as desks
from mothership import inventories as inventories_module
from mothership import outgoing, scheduler
from mothership.decisions import attempts as rules_of_attempts
from mothership.decisions import claims, timers
from mothership.decisions.states import AttemptState, Case, Notice, Rules, Run, RunState
from mothership.storage import runs, workers
from mothership.storage.runs import RunRequest, Sealed
from mothership.storage.tables import metadata
from protocol.messages import Inventory, Message, WorkerMessage
from protocol.runs import Outcome, Rejection
from protocol.topics import Direction, Topic
from tests.model.interning import Interner

POOL = "01HPS9HDSWCQ73RPDTVAK0KK0A"
POOL_UID = "pool-uid"
NOW = 1_000_000.0
LATER = NOW + 100_000.0
"""A time by which every time-out has run out."""

OFTEN = 3
"""What "sent before" is reduced to: as often as makes silence count; later is never wrong for a lossy network."""

_TABLES = ("pools", "connections", "workers", "runs", "attempts")
_TIMES = frozenset(
    {
        "created_at",
        "changed_at",
        "asked_at",
        "registered_at",
        "seen_at",
        "drain_due_at",
        "finished_at",
        "assigned_at",
        "accepted_at",
        "granted_at",
        "renewed_at",
        "closed_at",
        "due_at",
        "token_expires_at",
    }
)
_OUTCOMES = frozenset({"worker_outcome", "report", "outcome"})

T = TypeVar("T")
Rows = tuple[tuple[tuple[Any, ...], ...], ...]


@dataclass(frozen=True, slots=True)
class AttemptSummary:
    """What the model itself looks at in an attempt."""

    run: int
    slot: int
    worker: int
    state: AttemptState
    granted: bool
    pod_uid: str | None
    notice: Notice | None
    report: str | None
    assignment: int

    @property
    def open(self) -> bool:
        """Whether it isn't closed."""
        return self.state is not AttemptState.CLOSED


@dataclass(frozen=True, slots=True)
class Summary:
    """What the model itself looks at in a state: the states of the runs and all attempts."""

    runs: tuple[RunState, ...]
    results: tuple[str | None, ...]
    attempts: tuple[AttemptSummary, ...]

    def current(self, run: int) -> AttemptSummary | None:
        """Return a run's last attempt."""
        own = [each for each in self.attempts if each.run == run]
        return own[-1] if own else None


class _Sealer:
    """Seals nothing."""

    def seal(self, attempt: Any, _key: str) -> Sealed:  # noqa: ANN401 - the product's record
        """Return a payload that is known by its attempt."""
        name = f"{attempt.run}-{attempt.sequence}"
        return Sealed(payload=name, token_hash=name, token_expires_at=NOW)


class Mothership:
    """Operations on interned states (integers). `runs` and `workers` are named by their place."""

    def __init__(self, run_ids: list[str], worker_ids: list[tuple[str, str]], most_attempts: int) -> None:
        self.run_ids, self.worker_ids, self.most_attempts = run_ids, worker_ids, most_attempts
        self.rules = Rules(requeue_limit=1000)
        self._engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool)
        self._conn = self._engine.connect()
        raw = self._conn.connection.driver_connection
        assert raw is not None
        raw.isolation_level = None
        self._raw = raw
        metadata.create_all(self._conn)
        self._columns = {name: [column.name for column in metadata.tables[name].columns] for name in _TABLES}
        self._states: Interner[Rows] = Interner()
        self._memo: dict[tuple[Any, ...], Any] = {}
        self.calls = 0

    def close(self) -> None:
        """Let go of the database."""
        self._conn.close()
        self._engine.dispose()

    # --- states ---

    def initial(self, registered: list[int]) -> int:
        """Return the state with every run queued and these workers registered."""
        self._clear()
        pool = (POOL, "pool", "", "", NOW)
        self._raw.execute("INSERT INTO pools VALUES (?,?,?,?,?)", pool)
        for name in self.run_ids:
            run = Run(name, POOL, RunState.QUEUED, position=1)
            runs.add_run(self._conn, run, RunRequest(None, (), "runner:1", "launcher:1"), NOW)
        for place in registered:
            ulid, uid = self.worker_ids[place]
            key = workers.WorkerKey(POOL, ulid, uid)
            workers.register(self._conn, key, pool_uid=POOL_UID, metadata={}, version="1", now=NOW)
        return self._read()

    def summary(self, state: int) -> Summary:
        """Return what the model looks at."""
        return self._remember(("summary", state), lambda: self._summary(state))

    def _summary(self, state: int) -> Summary:
        rows = self._states.value(state)
        of = {
            name: [dict(zip(self._columns[name], row, strict=True)) for row in table]
            for name, table in zip(_TABLES, rows, strict=True)
        }
        ulids = [ulid for ulid, _ in self.worker_ids]
        found, ranks = [], dict.fromkeys(self.run_ids, 0)
        for row in of["attempts"]:
            rank = ranks[row["run"]]
            ranks[row["run"]] += 1
            run = self.run_ids.index(row["run"])
            report = json.loads(row["report"])["result"] if row["report"] else None
            found.append(
                AttemptSummary(
                    run=run,
                    slot=run * self.most_attempts + rank,
                    worker=ulids.index(row["worker"]),
                    state=AttemptState(row["state"]),
                    granted=bool(row["granted"]),
                    pod_uid=row["pod_uid"],
                    notice=Notice(row["notice"]) if row["notice"] else None,
                    report=report,
                    assignment=row["assignment"],
                )
            )
        states = {row["id"]: row for row in of["runs"]}
        records = [states[name] for name in self.run_ids]
        return Summary(
            tuple(RunState(row["state"]) for row in records),
            tuple(json.loads(row["outcome"])["result"] if row["outcome"] else None for row in records),
            tuple(found),
        )

    def slot_of(self, state: int, run: str, sequence: int) -> int | None:
        """Return the place of an attempt, None when there is none."""
        return self.slots(state).get((run, sequence))

    def slots(self, state: int) -> dict[tuple[str, int], int]:
        """Return the place of every attempt."""
        return self._remember(("slots", state), lambda: self._slots(state))

    def _slots(self, state: int) -> dict[tuple[str, int], int]:
        table = self._states.value(state)[_TABLES.index("attempts")]
        columns = self._columns["attempts"]
        run_at, sequence_at = columns.index("run"), columns.index("sequence")
        found: dict[tuple[str, int], int] = {}
        for row in table:
            base = self.run_ids.index(row[run_at]) * self.most_attempts
            rank = sum(1 for run, _ in found if run == row[run_at])
            found[row[run_at], row[sequence_at]] = base + rank
        return found

    # --- operations: each returns the state after it ---

    def assign(self, state: int) -> int:
        """Give queued runs to free workers."""
        return self._remember(("assign", state), lambda: self._do(state, self._assign))

    def publish(self, state: int) -> tuple[int, tuple[Message, ...]]:
        """Send everything that is due."""
        return self._remember(("publish", state), lambda: self._answered(state, self._publish))

    def handle(
        self, state: int, number: int, message: Message, *, late: bool = False
    ) -> tuple[int, tuple[Message, ...]]:
        """Take a worker's message, of which `number` is the name; `late`: everything else was heard of long ago."""
        key = "handle", state, number, late
        return self._remember(key, lambda: self._answered(state, lambda: self._handle(message, late=late)))

    def expire(self, state: int, attempt: AttemptSummary) -> int:
        """Let an attempt's time run out."""

        def rule(case: Case) -> Case:
            return timers.expire(case, LATER, hearing_since=0.0, serving_since=0.0, rules=self.rules)

        return self._rule("expire", state, attempt, rule)

    def reject(self, state: int, attempt: AttemptSummary) -> int:
        """Have the worker be too busy for an attempt, and not any more."""

        def rule(case: Case) -> Case:
            refusal = rules_of_attempts.Refusal(Rejection.BUSY)
            return rules_of_attempts.reject(case, refusal, NOW, self.rules)

        return self._rule("reject", state, attempt, rule)

    def stop(self, state: int, run: int) -> int:
        """Cancel a run, or ask it to stop."""
        return self._remember(("stop", state, run), lambda: self._do(state, lambda: self._stop(run)))

    def claim(self, state: int, slot: int, pod_uid: str) -> tuple[claims.Verdict, int]:
        """Have a Pod claim the start."""
        return self._remember(("claim", state, slot, pod_uid), lambda: self._claim(state, slot, pod_uid))

    def report(self, state: int, slot: int, outcome: Outcome) -> int:
        """Take the launcher's own word."""
        run, sequence = self._attempt_at(state, slot)

        def change() -> None:
            case = self._case(run, sequence)
            runs.save(self._conn, case, rules_of_attempts.report(case, outcome, NOW), NOW)

        return self._remember(("report", state, slot, outcome.result), lambda: self._do(state, change))

    def drain(self, state: int, worker: int, *, drained: bool) -> int:
        """Have an admin drain a worker, or take it back."""

        def change() -> None:
            workers.want_drained(self._conn, self.worker_ids[worker][0], NOW, drained=drained)

        return self._remember(("drain", state, worker, drained), lambda: self._do(state, change))

    def doubts(self, state: int) -> bool:
        """Return whether it would ask the operator what it holds."""
        return self._remember(("doubts", state), lambda: self._doubts(state))

    # --- inside a transaction ---

    def _assign(self) -> None:
        # Runs that have used up the attempts of this model's bounds wait outside.
        cursor = self._raw.execute(
            "SELECT id FROM runs r WHERE (SELECT count(*) FROM attempts a WHERE a.run = r.id) >= ?",
            (self.most_attempts,),
        )
        spent = [row[0] for row in cursor.fetchall()]
        hidden = [self._raw.execute("SELECT * FROM runs WHERE id = ?", (name,)).fetchone() for name in spent]
        for name in spent:
            self._raw.execute("DELETE FROM runs WHERE id = ?", (name,))
        scheduler.assign_queued(self._conn, _Sealer(), NOW)  # type: ignore[arg-type]
        self._insert("runs", hidden)

    def _publish(self) -> list[Message]:
        found = [outgoing.drain_message(worker) for worker in workers.take_due_drains(self._conn, NOW, 100)]
        due = (outgoing.due_message(each) for each in runs.take_due(self._conn, NOW, 100))
        return [each.message for each in (*found, *due) if each is not None]

    def _handle(self, message: Message, *, late: bool) -> list[Message]:
        known = {uid: ulid for ulid, uid in self.worker_ids}
        level = known[message.worker_uid] if isinstance(message, WorkerMessage) else POOL
        topic = Topic("spacelift", Direction.FROM_WORKER, POOL, level)
        now = NOW + 1000.0 if late and isinstance(message, Inventory) else NOW
        inventories = inventories_module.Inventories(self.rules)
        found = desks.Desk(self.rules, inventories).handle(self._conn, topic, message, now)
        return [each.message for each in found]

    def _stop(self, run: int) -> None:
        record = runs.load_run(self._conn, self.run_ids[run])
        assert record is not None
        if record.state is RunState.QUEUED:
            canceled, history = rules_of_attempts.cancel_queued(record)
            runs.save_run(self._conn, canceled, history, NOW)
        elif record.sequence is not None:
            case = self._case(record.id, record.sequence)
            runs.save(self._conn, case, rules_of_attempts.stop(case, NOW), NOW)

    def _claim(self, state: int, slot: int, pod_uid: str) -> tuple[claims.Verdict, int]:
        run, sequence = self._attempt_at(state, slot)
        self._load(state)
        case = self._case(run, sequence)
        answer = claims.claim(case, pod_uid, NOW)
        runs.save(self._conn, case, answer.case, NOW)
        return answer.verdict, self._read()

    def _doubts(self, state: int) -> bool:
        self._load(state)
        return bool(runs.unconfirmed(self._conn, LATER, Notice.CANCELED))

    def _case(self, run: str, sequence: int) -> Case:
        case = runs.load_case(self._conn, run, sequence)
        assert case is not None
        return case

    def _attempt_at(self, state: int, slot: int) -> tuple[str, int]:
        return next(key for key, place in self.slots(state).items() if place == slot)

    def _rule(self, name: str, state: int, attempt: AttemptSummary, rule: Callable[[Case], Case]) -> int:
        run, sequence = self._attempt_at(state, attempt.slot)

        def change() -> None:
            case = self._case(run, sequence)
            runs.save(self._conn, case, rule(case), LATER)

        return self._remember((name, state, attempt.slot), lambda: self._do(state, change))

    # --- tables and states ---

    def _remember(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        try:
            return cast("T", self._memo[key])
        except KeyError:
            found = self._memo[key] = make()
            return found

    def _do(self, state: int, change: Callable[[], None]) -> int:
        self._load(state)
        change()
        return self._read()

    def _answered(self, state: int, change: Callable[[], list[Message]]) -> tuple[int, tuple[Message, ...]]:
        self._load(state)
        messages = tuple(change())
        return self._read(), messages

    def _clear(self) -> None:
        for name in (*_TABLES, "history"):
            self._raw.execute(f"DELETE FROM {name}")  # noqa: S608 - our own names

    def _load(self, state: int) -> None:
        self.calls += 1
        self._clear()
        for name, rows in zip(_TABLES, self._states.value(state), strict=True):
            self._insert(name, rows)

    def _insert(self, name: str, rows: Any) -> None:  # noqa: ANN401
        if rows:
            marks = ",".join("?" * len(self._columns[name]))
            self._raw.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)  # noqa: S608 - our own names

    def _read(self) -> int:
        tables = []
        for name in _TABLES:
            columns = self._columns[name]
            found = self._raw.execute(f"SELECT {','.join(columns)} FROM {name} ORDER BY 1, 2, 3").fetchall()  # noqa: S608
            tables.append(tuple(_reduced(columns, row) for row in found))
        return self._states.number(tuple(tables))


def _reduced(columns: list[str], row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row without times and texts, which no rule looks at."""
    values = dict(zip(columns, row, strict=True))
    for name in values.keys() & _TIMES:
        values[name] = None if values[name] is None else NOW
    for name in values.keys() & _OUTCOMES:
        values[name] = _without_text(values[name])
    if "tries" in values:
        values["tries"] = OFTEN if values["tries"] else 0
        if values["state"] == "closed":
            # Nobody asks for these of a closed attempt.
            values |= dict.fromkeys(("accepted_at", "granted_at", "renewed_at", "worker_outcome", "report"))
            values |= {"pod_uid": None, "outcome": None}
    if "drain_tries" in values:
        # Any hold may be over, and any repeat may be the last.
        values |= {"drain_tries": 0, "hold_until": 0.0, "metadata": "{}"}
    if "not_before" in values:
        values["not_before"] = 0.0
    if "ask_due" in values:
        values |= {"ask_due": 0, "asked_at": None, "online": 1}
    return tuple(values[name] for name in columns)


def _without_text(outcome: str | None) -> str | None:
    if outcome is None:
        return None
    return json.dumps(json.loads(outcome) | {"message": ""}, sort_keys=True)
