"""What Pods, their kubelets and cut-off nodes do in the run model."""

from mothership.decisions.claims import Verdict
from protocol.runs import Outcome, Reason, Result
from tests.model.checker import Label
from tests.model.pods import ACTIVE, LIVE, Progress
from tests.model.run_state import NO_LATE_START, ONE_START, Pod, Slot, State, put
from tests.model.run_world import World

_SUCCESS = Outcome(Result.SUCCEEDED, Reason.COMPLETED, "", {"worker": 0})


class PodSteps(World):
    """Steps of Pods."""

    def _pod_steps(self, state: State, place: int) -> None:
        slot = state.slots[place]
        pod = self.pods.value(slot.pod)
        if slot.zombie[0]:
            self._zombie_steps(state, place, slot)
        if pod is None:
            return
        label = ("Pod", f"#{pod.incarnation} of attempt", place)
        if not state.workers[self._owner(self._pod_object(slot.pod))] and not pod.deleting:
            self._add(
                (*label, "is collected"), state, self._with_pod(state, place, pod._replace(deleting=True))
            )
        if not pod.cut:
            self._kubelet_steps(state, place, slot, pod, label)
            self._pod_faults(state, place, pod, label)

    def _kubelet_steps(self, state: State, place: int, slot: Slot, pod: Pod, label: Label) -> None:
        def to(progress: Progress) -> State:
            return self._with_pod(state, place, pod._replace(progress=progress))

        if pod.deleting and pod.progress in LIVE:
            killed = Progress.FAILED if pod.progress == Progress.WORKING else Progress.KILLED_EARLY
            self._add((*label, "is stopped"), state, to(killed))
        match pod.progress:
            case Progress.CREATED:
                if slot.secret and not pod.deleting:
                    self._add((*label, "mounts its Secret"), state, to(Progress.CLAIMING))
            case Progress.CLAIMING:
                self._claim_start(state, place, slot, pod, label)
            case Progress.GRANTED:
                if self.bounds.marker and slot.marker == pod.incarnation:
                    self._add((*label, "finds its start marker"), state, to(Progress.STARTED_BEFORE))
                elif not pod.deleting:
                    self._start(state, place, pod.incarnation, to(Progress.WORKING), label)
            case Progress.WORKING:
                self._complete(state, place, pod, label)

    def _complete(self, state: State, place: int, pod: Pod, label: Label) -> None:
        done = state.ghost._replace(completed=state.ghost.completed | 1 << place // self.bounds.attempts)
        after = self._with_pod(state._replace(ghost=done), place, pod._replace(progress=Progress.SUCCEEDED))
        told = after._replace(ms=self.mothership.report(state.ms, place, _SUCCESS))
        self._add((*label, "completes the work and says so"), state, told)
        faults = self.faults.spend(state.faults, "noreport")
        if faults is not None:
            untold = after._replace(faults=faults)
            self._add(("FAULT", *label, "completes the work unheard"), state, untold, progress=False)

    def _claim_start(self, state: State, place: int, slot: Slot, pod: Pod, label: Label) -> None:
        uid = self._shown(slot.pod)["metadata"]["uid"]
        verdict, ms = self.mothership.claim(state.ms, place, uid)
        if verdict is Verdict.WAIT:
            return
        to = Progress.GRANTED if verdict is Verdict.GRANTED else Progress.REFUSED
        label = (*label, "claims the start:", verdict.value)
        after = self._with_pod(state._replace(ms=ms), place, pod._replace(progress=to))
        self._add(label, state, after)
        faults = self.faults.spend(state.faults, "lostgrant")
        if faults is not None and ms != state.ms:
            unheard = state._replace(ms=ms, faults=faults)
            self._add(("FAULT", *label, "is granted, and doesn't hear it"), state, unheard, progress=False)

    def _start(self, state: State, place: int, incarnation: int, after: State, label: Label) -> None:
        run = place // self.bounds.attempts
        starts = min(state.ghost.starts[run] + 1, 2)
        broken = (ONE_START,) if starts > 1 else ()
        if self.mothership.summary(state.ms).runs[run].is_final:
            broken = (*broken, NO_LATE_START)
        ghost = after.ghost._replace(starts=put(after.ghost.starts, run, starts))
        after = self._with_slot(after._replace(ghost=ghost), place, marker=incarnation)
        self._add((*label, "STARTS THE WORK"), state, after, broken=broken)

    def _pod_faults(self, state: State, place: int, pod: Pod, label: Label) -> None:
        evicted = self.faults.spend(state.faults, "evict")
        if evicted is not None:
            base = state._replace(faults=evicted)
            if not pod.deleting:
                after = self._with_pod(base, place, pod._replace(deleting=True))
                self._add(("FAULT", *label, "is deleted"), state, after, progress=False)
            if pod.progress in LIVE:
                killed = Progress.FAILED if pod.progress == Progress.WORKING else Progress.KILLED_EARLY
                after = self._with_pod(base, place, pod._replace(progress=killed))
                self._add(("FAULT", *label, "is killed"), state, after, progress=False)
        again = self.faults.spend(state.faults, "rerun")
        if again is not None and pod.progress in ACTIVE:
            after = self._with_pod(
                state._replace(faults=again), place, pod._replace(progress=Progress.CLAIMING)
            )
            self._add(("FAULT", *label, "gets a new sandbox"), state, after, progress=False)
        cut = self.faults.spend(state.faults, "zombie")
        if (
            cut is not None
            and pod.progress in (Progress.CLAIMING, *ACTIVE)
            and not state.slots[place].zombie[0]
        ):
            run = place // self.bounds.attempts
            ghost = state.ghost._replace(excused=state.ghost.excused | 1 << run)
            base = state._replace(faults=cut, ghost=ghost)
            base = self._with_slot(base, place, zombie=(pod.incarnation, pod.progress))
            after = self._with_pod(base, place, pod._replace(deleting=True, cut=True))
            self._add(("FAULT the node of", *label, "is cut off"), state, after, progress=False)

    def _zombie_steps(self, state: State, place: int, slot: Slot) -> None:
        incarnation, progress = slot.zombie
        label = ("cut-off Pod", f"#{incarnation} of attempt", place)
        stopped = self._with_slot(state, place, zombie=(0, 0))
        match progress:
            case Progress.CLAIMING:
                name = next(name for name, at in self._names.items() if at == place)
                verdict, ms = self.mothership.claim(state.ms, place, f"{name}#{incarnation}")
                self._add((*label, "ends"), state, stopped)
                if verdict is Verdict.GRANTED:
                    after = self._with_slot(state, place, zombie=(incarnation, Progress.GRANTED))
                    self._add((*label, "is granted the start"), state, after._replace(ms=ms))
            case Progress.GRANTED:
                if self.bounds.marker and slot.marker == incarnation:
                    self._add((*label, "finds its start marker"), state, stopped)
                else:
                    after = self._with_slot(state, place, zombie=(incarnation, Progress.WORKING))
                    self._start(state, place, incarnation, after, label)
            case Progress.WORKING:
                run = place // self.bounds.attempts
                done = state.ghost._replace(completed=state.ghost.completed | 1 << run)
                told = stopped._replace(ms=self.mothership.report(state.ms, place, _SUCCESS), ghost=done)
                self._add((*label, "completes the work and says so"), state, told)
                self._add((*label, "stops by itself"), state, stopped)
