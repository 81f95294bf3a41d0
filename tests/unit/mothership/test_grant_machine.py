"""Property: whatever comes in whatever order, a run is granted to at most one Pod and never after its end."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from mothership.decisions import attempts as rules
from mothership.decisions.claims import Verdict, claim, renew
from mothership.decisions.inventory import observe
from mothership.decisions.states import Attempt, Case, Rules, Run, RunState
from mothership.decisions.timers import expire
from protocol.messages import InventoryWorker
from protocol.runs import Outcome, Reason, Rejection, Result

RULES = Rules(requeue_limit=3)
PODS = st.sampled_from(["pod-a", "pod-b"])
OUTCOMES = st.builds(Outcome, st.sampled_from(list(Result)), st.sampled_from(list(Reason)))


class Grants(RuleBasedStateMachine):
    """One run, as many attempts as come up; every message may come late, twice, or for an old attempt."""

    sequences = Bundle("sequences")

    @initialize(target=sequences, depth=st.integers(0, 2))
    def start(self, depth: int) -> int:
        """Queue the run and assign it; often go on to Pod and grant, which random steps rarely reach unclosed."""
        self.now = 0.0
        self.run = Run("RUN", "POOL", RunState.QUEUED, position=0)
        self.attempts: dict[int, Attempt] = {}
        self.grants: set[tuple[int, str]] = set()
        self.ended = False
        sequence = self.assign_run()
        if depth > 0:
            self._store(self._case(sequence), rules.bind_pod(self._case(sequence), "pod-a", self.now))
        if depth > 1:
            self.claim_start(sequence, "pod-a")
        return sequence

    def _store(self, before: Case, after: Case) -> None:
        """Do what storage does: one transaction for run and attempt."""
        assert after.run.position >= before.run.position
        assert len(after.history) - len(before.history) == after.run.position - before.run.position
        # A run that was called lost in silence may still be told the cause; its end stays.
        told = replace(after.run, outcome=before.run.outcome)
        if before.attempt.is_closed:
            assert told == before.run, "a closed attempt moves its run"
            assert after.attempt.is_closed, "a closed attempt is opened again"
        if before.run.state.is_final:
            assert told == before.run, "a finished run changes"
            assert after.run.outcome == before.run.outcome or before.run.outcome == rules.SILENCE
            assert after.run.outcome is not None
            assert after.run.outcome.result.value == after.run.state.value
        self.run = after.run
        self.attempts[after.attempt.sequence] = after.attempt
        self.ended = self.ended or self.run.state.is_final

    def _case(self, sequence: int) -> Case:
        return Case(self.run, self.attempts[sequence])

    @precondition(lambda self: self.run.state is RunState.QUEUED)
    @rule(target=sequences)
    def assign(self) -> int:
        """Give the run to the worker."""
        return self.assign_run()

    def assign_run(self) -> int:
        """Make the next attempt."""
        number = len(self.attempts) + 1
        case = rules.assign(
            self.run, pool_uid="pool", worker="W", worker_uid="uid", assignment=number, now=self.now
        )
        assert case.attempt.sequence not in self.attempts
        self.run = case.run
        self.attempts[case.attempt.sequence] = case.attempt
        return case.attempt.sequence

    @rule(sequence=sequences, pod=PODS)
    def claim(self, sequence: int, pod: str) -> None:
        """Let any Pod of any attempt claim."""
        self.claim_start(sequence, pod)

    def claim_start(self, sequence: int, pod: str) -> None:
        """Claim, and remember what was granted."""
        case = self._case(sequence)
        answer = claim(case, pod, self.now)
        if answer.verdict is Verdict.GRANTED:
            assert not self.ended
            self.grants.add((sequence, pod))
        self._store(case, answer.case)

    @rule(sequence=sequences, pod=PODS)
    def run_pod(self, sequence: int, pod: str) -> None:
        """Report a Pod."""
        case = self._case(sequence)
        self._store(case, rules.bind_pod(case, pod, self.now))

    @rule(sequence=sequences)
    def run_accepted(self, sequence: int) -> None:
        """Accept."""
        case = self._case(sequence)
        self._store(case, rules.accept(case, self.now))

    @rule(sequence=sequences, reason=st.sampled_from(list(Rejection)))
    def run_rejected(self, sequence: int, reason: Rejection) -> None:
        """Reject."""
        case = self._case(sequence)
        self._store(case, rules.reject(case, rules.Refusal(reason), self.now, RULES))

    @rule(sequence=sequences, pod=st.none() | PODS, outcome=OUTCOMES)
    def run_finished(self, sequence: int, pod: str | None, outcome: Outcome) -> None:
        """Report an end; a closed attempt is always released."""
        case = self._case(sequence)
        after = rules.finish(case, pod, outcome, self.now, RULES)
        if case.attempt.is_closed:
            assert after.attempt.due_at == self.now
        self._store(case, after)

    @rule(sequence=sequences, outcome=OUTCOMES)
    def result(self, sequence: int, outcome: Outcome) -> None:
        """Take the launcher's report."""
        case = self._case(sequence)
        self._store(case, rules.report(case, outcome, self.now))

    @rule(sequence=sequences)
    def stop(self, sequence: int) -> None:
        """Stop on request."""
        case = self._case(sequence)
        if case.is_current:
            self._store(case, rules.stop(case, self.now))

    @rule(sequence=sequences)
    def worker_gone(self, sequence: int) -> None:
        """Lose the worker."""
        case = self._case(sequence)
        self._store(case, rules.worker_gone(case, self.now, RULES))

    @rule(
        sequence=sequences,
        assignment=st.integers(0, 4),
        held=st.booleans(),
        phase=st.sampled_from(["Scheduled", "Starting", "Running", "Finished"]),
    )
    def inventory(self, sequence: int, assignment: int, held: bool, phase: str) -> None:
        """Compare with an inventory, true or not."""
        case = self._case(sequence)
        seen = InventoryWorker(
            worker="W",
            worker_uid="uid",
            assignment=assignment,
            run="RUN" if held else None,
            sequence=sequence if held else None,
            phase=phase if held else None,
        )
        self._store(case, observe(case, seen, self.now, RULES))

    @rule(sequence=sequences)
    def lease(self, sequence: int) -> None:
        """Renew."""
        case = self._case(sequence)
        self._store(case, renew(case, self.now, RULES)[1])

    @rule(seconds=st.sampled_from([1.0, 61.0, 151.0, 901.0]))
    def time_passes(self, seconds: float) -> None:
        """Let every attempt's time pass."""
        self.now += seconds
        for sequence in list(self.attempts):
            case = self._case(sequence)
            self._store(case, expire(case, self.now, hearing_since=0.0, serving_since=0.0, rules=RULES))

    @invariant()
    def at_most_one_grant(self) -> None:
        """Hold the promise of fence 5."""
        assert len(self.grants) <= 1

    @invariant()
    def a_started_run_is_never_queued_again(self) -> None:
        """Recovery follows the grant."""
        assert not (self.grants and self.run.state in (RunState.QUEUED, RunState.ASSIGNED, RunState.ACCEPTED))

    @invariant()
    def at_most_one_attempt_is_open(self) -> None:
        """Close the sequence in the transaction that moves the run on."""
        open_ones = [sequence for sequence, attempt in self.attempts.items() if not attempt.is_closed]
        assert open_ones in ([], [self.run.sequence])


Grants.TestCase.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
TestGrants = Grants.TestCase
