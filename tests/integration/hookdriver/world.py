"""One scenario's world: a namespace, a controller object, hooks, a hook driver, and what is recorded of it."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from devcluster.hookdriver.api import Api
from devcluster.hookdriver.errors import AlreadyExists, ApiError, NotFound
from devcluster.hookdriver.objects import Json
from tests.integration.hookdriver.hookserver import Answer, Body, HookServer
from tests.integration.hookdriver.normalise import Normaliser, canonical
from tests.integration.hookdriver.proxy import RecordingProxy, Write

GROUP = "fidelity.example.com/v1"
# The garbage collector of a fresh cluster looks for new kinds only every 30 s.
DEADLINE_SECONDS = 75.0
# Nothing asked and nothing written for so long: a step is over.
QUIET_SECONDS = 0.7
PATHS = {
    "Pool": f"/apis/{GROUP}/namespaces/{{}}/pools",
    "Item": f"/apis/{GROUP}/namespaces/{{}}/items",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
}
CONTROLLERS = {
    "CompositeController": "/apis/metacontroller.k8s.io/v1alpha1/compositecontrollers",
    "DecoratorController": "/apis/metacontroller.k8s.io/v1alpha1/decoratorcontrollers",
}
# Made by the cluster's own controllers, where they run.
_NOT_OURS = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}


def wait_for(condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Wait until the condition holds, or fail with what was waited for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)


class DriverProcess:
    """The stand-in, or the real Metacontroller when METACONTROLLER_BIN names it."""

    def __init__(self, kubeconfig: Path, log: Path) -> None:
        self._kubeconfig, self._log = kubeconfig, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        real = os.environ.get("METACONTROLLER_BIN")
        command = [real, "--metrics-address=0", "--health-probe-bind-address=0"] if real else None
        standin = [sys.executable, "-m", "devcluster.hookdriver"]
        flags = ["--workers=20", "--client-go-qps=500", "--client-go-burst=1000"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*(command or standin), f"--kubeconfig={self._kubeconfig}", *flags],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def stop(self) -> None:
        """End it and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@dataclass
class Step:
    """What happened in one step, as recorded."""

    name: str
    loose: bool
    requests: list[tuple[str, Body]]
    writes: list[Write]
    objects: list[Body] = field(default_factory=list)


class World:
    """Everything that a scenario acts on."""

    def __init__(
        self, name: str, api: Api, hooks: HookServer, proxy: RecordingProxy, driver: DriverProcess
    ) -> None:
        self.name, self.driver = name, driver
        self.namespace = f"fidelity-{name.replace('_', '-')}"
        self._api, self._hooks, self._proxy = api, hooks, proxy
        self._steps: list[Step] = []
        self._controllers: list[str] = []
        wait_for(self._make_namespace, f"the namespace {self.namespace} of an earlier run is gone")

    def _make_namespace(self) -> bool:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        try:
            self._api.create("/api/v1/namespaces", namespace)
        except AlreadyExists:
            return False
        return True

    # -- hooks and controllers ------------------------------------------------------------------------------

    def hook(self, name: str, answer: Callable[[Body], Body | Answer]) -> Body:
        """Serve a hook; return what a controller object says about it."""
        path = f"/{self.name}/{name}"

        def respond(request: Body) -> Answer:
            answered = answer(request)
            return answered if isinstance(answered, Answer) else Answer(answered)

        self._hooks.hooks[path] = respond
        return {"webhook": {"url": self._hooks.url + path, "timeout": "10s"}}

    def control(self, kind: str, spec: Body) -> None:
        """Create the controller object."""
        name = f"fidelity-{self.name.replace('_', '-')}"
        obj = {
            "apiVersion": "metacontroller.k8s.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        self._api.create(CONTROLLERS[kind], obj)
        self._controllers.append(f"{CONTROLLERS[kind]}/{name}")

    # -- actions --------------------------------------------------------------------------------------------

    def create(self, kind: str, name: str, **fields: Json) -> Body:
        """Create an object; `labels` and `finalizers` go to its metadata."""
        meta = {key: fields.pop(key) for key in ("labels", "finalizers") if key in fields}
        return self._api.create(self._path(kind), {**blank(kind, name, **meta), **fields})

    def change(self, kind: str, name: str, change: Callable[[Body], None], subresource: str = "") -> Body:
        """Read an object, change it and write it back."""
        path = "/".join(part for part in (self._path(kind), name, subresource) if part)
        while True:
            current = self._api.get(path)
            change(current)
            try:
                return self._api.update(path, current)
            except ApiError as error:
                if error.status != 409:
                    raise

    def delete(self, kind: str, name: str, propagation: str = "Background") -> None:
        """Delete an object."""
        self._api.delete(f"{self._path(kind)}/{name}", {"propagationPolicy": propagation})

    def get(self, kind: str, name: str) -> Body | None:
        """Return an object, None when it isn't there."""
        try:
            return self._api.get(f"{self._path(kind)}/{name}")
        except NotFound:
            return None

    def read(self, kind: str, name: str) -> Body:
        """Return an object, a nameless one when it isn't there."""
        return self.get(kind, name) or {"metadata": {}}

    def names(self, kind: str) -> list[str]:
        """Return the names of the objects of a kind."""
        items = self._api.get(self._path(kind))["items"]
        return sorted(item["metadata"]["name"] for item in items if not _foreign(kind, item))

    def _path(self, kind: str) -> str:
        return PATHS[kind].format(self.namespace)

    # -- recording ------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[tuple[str, Body]]:
        """The hook requests about this scenario's objects so far: some hooks are asked about all parents."""
        prefix = f"/{self.name}/"
        return [
            (path.removeprefix(prefix), body)
            for path, body in list(self._hooks.requests)
            if path.startswith(prefix)
            and (body.get("parent") or body["object"])["metadata"]["namespace"] == self.namespace
        ]

    @property
    def writes(self) -> list[Write]:
        """The driver's writes in this scenario's namespace so far."""
        return [write for write in list(self._proxy.writes) if f"/namespaces/{self.namespace}/" in write.path]

    @contextlib.contextmanager
    def step(
        self, name: str, until: Callable[[], bool] = lambda: True, *, loose: bool = False
    ) -> Iterator[None]:
        """Record what the actions inside lead to, once the condition holds and everything is quiet.

        A loose step races with the garbage collector: only what doesn't depend on who is first is compared.
        """
        requests, writes = len(self.requests), len(self.writes)
        yield
        wait_for(until, f"{self.name}: {name}")
        self._wait_until_quiet()
        self._steps.append(
            Step(name, loose, self.requests[requests:], self.writes[writes:], list(self._objects()))
        )

    def _wait_until_quiet(self) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        seen, since = (-1, -1), time.monotonic()
        while time.monotonic() - since < QUIET_SECONDS:
            now = (len(self.requests), len(self.writes))
            if now != seen:
                seen, since = now, time.monotonic()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: never quiet")
            time.sleep(0.02)

    def _objects(self) -> Iterator[Body]:
        for kind in PATHS:
            for item in self._api.get(self._path(kind))["items"]:
                if not _foreign(kind, item):
                    yield {"kind": kind, **item}

    def recording(self) -> list[Body]:
        """Return the steps, normalised."""
        normaliser = Normaliser({self._hooks.url: "<hooks>"})
        for step in self._steps:
            normaliser.learn(body for _, body in step.requests)
            normaliser.learn(step.objects)
        return [_recorded(step, normaliser, self.namespace) for step in self._steps]

    def close(self) -> None:
        """Remove the controller, then everything else, finalizers or not."""
        for controller in self._controllers:
            self._api.delete(controller, {})
        for kind in PATHS:
            for held in self._api.get(self._path(kind))["items"]:
                if held["metadata"].get("finalizers"):
                    with contextlib.suppress(NotFound):
                        self.change(kind, held["metadata"]["name"], _unhold)
        self._api.delete(f"/api/v1/namespaces/{self.namespace}", {"propagationPolicy": "Background"})


def blank(kind: str, name: str, **metadata: Json) -> Body:
    """Return an object with nothing but a name."""
    version = GROUP if kind in ("Pool", "Item") else "v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **metadata}}


def _unhold(obj: Body) -> None:
    obj["metadata"].pop("finalizers", None)


def _foreign(kind: str, item: Body) -> bool:
    return (kind, item["metadata"]["name"]) in _NOT_OURS


def _recorded(step: Step, normaliser: Normaliser, namespace: str) -> Body:
    clean = normaliser.clean
    by_hook: dict[str, list[Body]] = {}
    for hook, body in step.requests:
        by_hook.setdefault(hook, []).append(clean(body))
    # What a lagging cache led to and the API refused is no effect.
    writes = [
        {
            "method": write.method,
            "path": clean(write.path.partition(f"/namespaces/{namespace}/")[2]),
            "body": clean(write.body),
        }
        for write in step.writes
        if write.status < 400
    ]
    return {
        "step": step.name,
        "loose": step.loose,
        "hooks": {hook: {"first": bodies[0], "last": bodies[-1]} for hook, bodies in sorted(by_hook.items())},
        "writes": _in_runs(writes),
        "state": sorted((clean(obj) for obj in step.objects), key=canonical),
    }


def _in_runs(writes: list[Body]) -> list[Body]:
    """Sort neighbours of one method and resource: their order within a sync is random."""
    result: list[Body] = []
    run: list[Body] = []
    for write in writes:
        if run and _run_of(write) != _run_of(run[-1]):
            result += sorted(run, key=canonical)
            run = []
        run.append(write)
    return result + sorted(run, key=canonical)


def _run_of(write: Body) -> tuple[str, str, bool]:
    parts = write["path"].split("/")
    return write["method"], parts[0], len(parts) > 2


def load(path: Path) -> Json:
    """Read a recording."""
    return json.loads(path.read_text())
