"""What hook drivers do in the run model: they see old views, ask the hooks, and carry out the answers."""

from collections.abc import Iterator
from typing import Any

from app import vocabulary as words
from app.contract.requests import DecoratorRequest
from app.reconcile import worker as worker_hooks
from app.reconcile import worker_view
from protocol.runs import Phase
from tests.model.agent_part import NAMESPACE, POOL_NAME, SETTINGS
from tests.model.mothership_part import POOL_UID
from tests.model.pods import LIVE, Progress
from tests.model.run_state import NO_POD_DROPPED, NO_SECOND_POD, NOT_GONE_IN_FLIGHT, Pod, State, put
from tests.model.run_world import Json, World


class DriverSteps(World):
    """Steps of the hook drivers."""

    def _driver_steps(self, state: State, who: int) -> None:
        me = state.drivers[who]
        for place, worker in enumerate(state.workers):
            seen = self._seen_worker(worker)
            if me.workers[place] != seen:
                after = self._with_driver(state, who, workers=put(me.workers, place, seen))
                self._add(("driver", who, "sees worker", place, self._worker_in_words(worker)), state, after)
        for place, slot in enumerate(state.slots):
            seen = self._seen_pod(slot.pod)
            if me.pods[place] != seen:
                after = self._with_driver(state, who, pods=put(me.pods, place, seen))
                self._add(("driver", who, "sees attempt", place, self._pod_in_words(slot.pod)), state, after)
        for place, worker in enumerate(me.workers):
            if worker:
                self._sync(state, who, place, worker)

    def _with_driver(self, state: State, who: int, **changes: Any) -> State:  # noqa: ANN401 - fields of Driver
        return state._replace(drivers=put(state.drivers, who, state.drivers[who]._replace(**changes)))

    def _sync(self, state: State, who: int, place: int, worker: int) -> None:
        shown = self.objects.value(worker)["metadata"]
        if words.WORKER_FINALIZER not in shown["finalizers"]:
            if "deletionTimestamp" not in shown:
                self._manage(state, who, place)
            return
        pods = tuple(each for each in state.drivers[who].pods if each and self._owner(each) == place)
        wished, dropped, finalized = self._recall(self._ask_hook, worker, pods)
        if wished is not None:
            self._create(state, who, place, worker, *wished)
        for each in dropped:
            self._drop(state, who, place, each)
        if finalized:
            self._finalize(state, who, place)

    def _manage(self, state: State, who: int, place: int) -> None:
        worker = state.workers[place]
        if not worker or self.agent.worker(worker).deleting or self.agent.worker(worker).managed:
            return
        shown = self.objects.value(worker)
        metadata = {**shown["metadata"], "finalizers": [words.WORKER_FINALIZER]}
        after = self._with_worker(state, place, self.objects.number({**shown, "metadata": metadata}))
        self._add(("driver", who, "puts its finalizer on worker", place), state, after)

    def _create(self, state: State, who: int, place: int, worker: int, slot: int, body: int) -> None:
        found = state.slots[slot]
        if found.pod or found.made >= self.bounds.pods or state.ghost.leaving:
            return
        pod = Pod(body, found.made + 1, Progress.CREATED, False, _guards(self.bodies.value(body)), False)
        after = self._with_slot(state, slot, pod=self.pods.number(pod), made=found.made + 1)
        run = worker_view.view_worker(self.objects.value(worker)).run
        broken = (NO_SECOND_POD,) if run is None or run.phase != words.PHASE_SCHEDULED else ()
        label = ("driver", who, f"creates Pod #{found.made + 1} of attempt", slot, "for worker", place)
        self._add(label, state, after, broken=broken)

    def _drop(self, state: State, who: int, place: int, shown: int) -> None:
        metadata = self.objects.value(shown)["metadata"]
        slot = self._names[metadata["name"]]
        pod = self.pods.value(state.slots[slot].pod)
        if pod is None or pod.deleting:
            return
        if self._shown(state.slots[slot].pod)["metadata"]["uid"] != metadata["uid"]:
            return
        broken = (NO_POD_DROPPED,) if self._needed(state, place, slot, pod) else ()
        after = self._with_pod(state, slot, pod._replace(deleting=True))
        self._add(("driver", who, "deletes the Pod of attempt", slot), state, after, broken=broken)

    def _needed(self, state: State, place: int, slot: int, pod: Pod) -> bool:
        """Return whether a Pod is the live one of an open attempt."""
        worker = state.workers[place]
        run = self.agent.worker(worker).run if worker else None
        if pod.progress not in LIVE or run is None or run.phase is Phase.FINISHED:
            return False
        uid = self._shown(state.slots[slot].pod)["metadata"]["uid"]
        return self._keys[run.key] == slot and run.pod_uid in (None, uid)

    def _finalize(self, state: State, who: int, place: int) -> None:
        worker = state.workers[place]
        if not worker or not self.agent.worker(worker).deleting:
            return
        view = self.agent.worker(worker)
        broken = (
            (NOT_GONE_IN_FLIGHT,) if view.run is not None and view.run.phase is not Phase.FINISHED else ()
        )
        if view.run is not None and not broken and self._unheard_of(state, view.run):
            broken = (NOT_GONE_IN_FLIGHT,)
        after = self._with_worker(state, place, 0)
        self._add(("driver", who, "finalizes worker", place), state, after, broken=broken)

    def _unheard_of(self, state: State, run: Any) -> bool:  # noqa: ANN401 - Attempt
        """Return whether the mothership still waits to hear how an attempt ended."""
        slot = self._keys[run.key]
        return any(each.slot == slot and each.open for each in self.mothership.summary(state.ms).attempts)

    # --- what a hook can tell apart ---

    def _seen_worker(self, number: int) -> int:
        """Return the first Worker that a hook can't tell from this one."""
        return self._recall(self._alike_worker, number) if number else 0

    def _alike_worker(self, number: int) -> int:
        metadata = self.objects.value(number)["metadata"]
        place = self.uids.index(metadata["uid"])
        # What the hook answers to any Pod and to none tells all that its view of the Worker can do.
        probes = self._recall(self._probes, place)
        answers = tuple(self._ask_hook(number, probe) for probe in probes)
        run = worker_view.view_worker(self.objects.value(number)).run
        scheduled = run is not None and run.phase == words.PHASE_SCHEDULED
        flags = "deletionTimestamp" in metadata, tuple(metadata["finalizers"]), scheduled
        alike = place, flags, answers
        return self._projections.setdefault(alike, number)

    def _probes(self, place: int) -> list[tuple[int, ...]]:
        """Return Pods of every attempt that this model can have, each by itself, as a hook might see them."""
        return [(), *((each,) for each in self._probe_pods(place))]

    def _probe_pods(self, place: int) -> Iterator[int]:
        bounds = self.bounds
        for (run, sequence), slot in self._keys.items():
            name = next(name for name, at in self._names.items() if at == slot)
            for assignment in range(1, bounds.runs * bounds.attempts + 1):
                labels = {
                    words.RUN_LABEL: run,
                    words.WORKER_LABEL: self.ulids[place],
                    words.SEQUENCE_LABEL: str(sequence),
                    words.ASSIGNMENT_LABEL: str(assignment),
                }
                for number in range(1, bounds.pods + 1):
                    metadata = {"name": name, "uid": f"{name}#{number}", "labels": labels}
                    for phase in ("Pending", "Failed"):
                        yield self.objects.number({"metadata": metadata, "status": {"phase": phase}})

    def _seen_pod(self, number: int) -> int:
        """Return the first Pod object that a hook can't tell from this one."""
        shown = self._pod_object(number)
        return self._recall(self._alike_pod, shown) if shown else 0

    def _alike_pod(self, shown: int) -> int:
        view = worker_view.view_pod(self.objects.value(shown))
        return self._projections.setdefault((view, self._owner(shown)), shown)

    def _ask_hook(
        self, worker: int, pods: tuple[int, ...]
    ) -> tuple[tuple[int, int] | None, tuple[int, ...], bool]:
        """Return the Pod that is wished for (attempt, body), the Pods that aren't any more, and whether it may go."""
        parent = self.objects.value(worker)
        finalizing = "deletionTimestamp" in parent["metadata"]
        request = DecoratorRequest(
            parent=parent,
            attachments=tuple(self.objects.value(each) for each in pods),
            related={SETTINGS: _revision()},
            finalizing=finalizing,
        )
        hook = worker_hooks.finalize_worker if finalizing else worker_hooks.sync_worker
        answer = hook(request)
        wanted = {each["metadata"]["name"]: each for each in answer.attachments}
        observed = {self.objects.value(each)["metadata"]["name"]: each for each in pods}
        fresh = [
            (self._names[name], self.bodies.number(wanted[name])) for name in wanted if name not in observed
        ]
        dropped = tuple(number for name, number in observed.items() if name not in wanted)
        return (fresh[0] if fresh else None), dropped, bool(answer.finalized)


def _guards(body: Json) -> bool:
    return words.VERDICT_FINALIZER in (body["metadata"].get("finalizers") or ())


def _revision() -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": SETTINGS, "namespace": NAMESPACE},
        "data": {"pod": {}, "pool": {"name": POOL_NAME, "uid": POOL_UID}},
    }
