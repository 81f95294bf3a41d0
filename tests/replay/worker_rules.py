"""What must hold of the Worker hook's answers, judged by what truly happened; written apart from the hook's own code."""

from __future__ import annotations

from tests.replay.history import Moment, Name
from tests.replay.recording import Json
from tests.replay.travel import Truth, View

LIVE_POD_DROPPED = "a live Pod dropped"
KEPT_POD_DROPPED = "a kept Pod dropped"
SECOND_POD_WISHED = "a second Pod wished for"
STRANGE_POD_WISHED = "a Pod wished for that no run asked for"
GONE_IN_FLIGHT = "a Worker let go in flight"
_RUN, _SEQUENCE, _ASSIGNMENT = (
    f"workers.spacelift.io/{word}" for word in ("run-id", "sequence", "assignment")
)


class WorkerRules:
    """No live Pod is ever dropped, no second one wished for, no Worker let go while a run is on it."""

    def dropped(self, child: Json, view: View, truth: Truth) -> str:  # noqa: ARG002 - what the view says is no excuse
        """Let a Pod go once its attempt has a verdict, unless the history keeps it."""
        if not any(_over(parent, child) for parent in truth.parents()):
            return LIVE_POD_DROPPED
        parent = truth.now.parent
        kept = _status(parent).get("keptPods") or [] if parent else []
        return KEPT_POD_DROPPED if child["metadata"]["name"] in kept else ""

    def wished(self, name: Name, view: View, truth: Truth) -> str:
        """Allow one name for a Scheduled run; from Starting on the Worker has seen its Pod.

        An old view of a Scheduled run, beside a Pod that is gone by now, can't be told from a fresh claim by any
        hook. What must hold then is that the second Pod can't start: the Worker names another Pod's UID, or the
        verdict stands.
        """
        run = _status(view.parent).get("run") or {}
        if name != ("Pod", f"{str(run.get('id')).lower()}-{run.get('stage')}-{run.get('sequence')}"):
            return STRANGE_POD_WISHED
        if run["phase"] != "Scheduled":
            return SECOND_POD_WISHED
        went = any(name in moment.children for moment in truth.moments) and name not in truth.now.children
        return SECOND_POD_WISHED if went and not _fenced(run, truth) else ""

    def finalized(self, view: View, truth: Truth) -> str:
        """Let a Worker go when the mothership has let go of it and no run is on it."""
        status = _status(view.parent)
        run = status.get("run") or {}
        open_run = run and run.get("phase") != "Finished"
        if open_run or status.get("registration") != "Gone":
            return GONE_IN_FLIGHT
        live = [pod for pod in view.children.values() if not _ended(pod)]
        return GONE_IN_FLIGHT if live and not all(_over_by(truth, pod) for pod in live) else ""


def live_pods(moment: Moment) -> list[Name]:
    """Return the Pods of a moment that have no verdict yet."""
    parent = moment.parent
    return [name for name, pod in moment.children.items() if parent is None or not _over(parent, pod)]


def _fenced(run: Json, truth: Truth) -> bool:
    """Tell whether a start of that attempt would be refused: another Pod is named for it, or it is over."""
    for parent in truth.parents():
        status = _status(parent)
        found = status.get("run") or {}
        same = (found.get("id"), found.get("sequence")) == (run["id"], run["sequence"])
        if (same and (found.get("podUID") or found["phase"] == "Finished")) or (
            not same and status.get("assignment", 0) >= run["assignment"]
        ):
            return True
    return False


def _over_by(truth: Truth, pod: Json) -> bool:
    return any(_over(parent, pod) for parent in truth.parents())


def _over(parent: Json, pod: Json) -> bool:
    """Tell whether the Worker's status says that the Pod's attempt has a verdict, or was followed by another one."""
    labels, status = pod["metadata"].get("labels") or {}, _status(parent)
    run = status.get("run") or {}
    if (run.get("id"), str(run.get("sequence"))) == (labels.get(_RUN), labels.get(_SEQUENCE)):
        return bool(run["phase"] == "Finished")
    return int(status.get("assignment") or 0) >= int(labels[_ASSIGNMENT])


def _ended(pod: Json) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _status(parent: Json) -> Json:
    return parent.get("status") or {}
