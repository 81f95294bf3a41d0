"""Runs scenarios one after the other on one local cluster and adds their verdicts up."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from devcluster import clusters
from devcluster.cluster import CONTAINERS, PROCESSES, Cluster, Options
from devcluster.components import kind
from tests.e2e.harness import Shell, make_pool
from tests.faults import clients, leaks
from tests.faults.clients import JsonClient
from tests.faults.journal import Journal
from tests.faults.leaks import Footprint
from tests.faults.load import LIST_LIMIT, Load, Work, settled
from tests.faults.scenario import Scenario
from tests.faults.verdict import Verdict, judge
from tests.faults.world import World

GRACES = (
    "--image-pull-grace=8s",
    "--container-config-grace=3s",
    "--unschedulable-grace=3s",
    "--refusal-grace=3s",
)
"""The failures that scenarios bring about don't pass, so waiting for the defaults proves nothing."""
ARGUMENTS = {"operator": GRACES}
PATIENCE = {PROCESSES: 1.0, CONTAINERS: 3.0}
"""How many times as long everything may take, by the kind of node: a container takes seconds to start and to end."""
PARTS_WITH_ARGUMENTS = ("mothership", "operator", "hookdriver", "node")
CALM = 60.0
"""Seconds within which a pool without runs has to come to rest."""
RUNS_IN_A_ROUND = 15
FEWEST_RUNS = 8
"""Fewer than this leave nothing under way while a fault is injected."""
Say = Callable[[str], None]


@dataclass
class Report:
    """What a run of the suite found."""

    scenarios: int = 0
    runs: int = 0
    lost: int = 0
    doubled: int = 0
    without_verdict: int = 0
    faults: int = 0
    broken: list[str] = field(default_factory=list)
    """Scenarios with complaints beyond the three figures: leaks, no progress, parts that didn't come back."""
    skipped: list[str] = field(default_factory=list)
    peaks: dict[str, float] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.without_verdict or self.broken) and self.runs > 0

    def closing_line(self) -> str:
        """Return the line that a run of the suite ends with."""
        return (
            f"faults: {self.scenarios} scenarios, {self.runs} runs, {self.lost} lost, {self.doubled} doubled, "
            f"{self.without_verdict} without verdict"
        )


class Suite:
    """A cluster, its measure when it is at rest, and what was found on it so far."""

    def __init__(self, folder: Path, seed: str, say: Say, node: str = PROCESSES) -> None:
        """Use `folder` for everything and a cluster with that kind of node; `seed` decides all that is random."""
        self.report = Report()
        self._node, self._patience = node, PATIENCE[node]
        self._folder, self._seed, self._say = folder, seed, say
        self._outside = folder / "outside"
        self._outside.mkdir(mode=0o777)
        self._outside.chmod(0o777)
        self._cluster: Cluster | None = None
        self._replicas = 0
        self._rest: dict[str, Footprint] = {}
        self._made = 0
        self._part = 0
        self._stages: dict[str, float] = {}
        self._current: dict[str, tuple[tuple[str, ...], Mapping[str, str]]] = {}

    def close(self) -> None:
        """Stop the cluster."""
        if self._cluster is not None:
            self._cluster.down()
            self._cluster = None

    def run(self, scenario: Scenario, runs: int) -> bool:
        """Run one scenario under a load of so many runs; return whether every promise was kept."""
        if lacking := self._lacking(scenario):
            self.report.skipped.append(f"{scenario.name}: {lacking}")
            self._say(f"{scenario.name}: left out, {lacking}")
            return True
        began = time.monotonic()
        complaints: list[str] = []
        verdict = Verdict()
        self._stages, self._part = {}, 0
        while runs > 0 and not complaints and verdict.clean:
            part = min(runs, LIST_LIMIT // 2)
            runs -= part
            self._part += 1
            self._one(replace(scenario, runs=part), verdict, complaints)
        self.report.scenarios += 1
        self.report.runs += verdict.runs
        self.report.lost += len(verdict.lost)
        self.report.doubled += len(verdict.doubled)
        self.report.without_verdict += len(verdict.without_verdict)
        took = f"{time.monotonic() - began:.0f} s: " + ", ".join(
            f"{stage} {seconds:.0f}" for stage, seconds in self._stages.items()
        )
        endings = ", ".join(f"{count} {ending}" for ending, count in sorted(verdict.endings.items()))
        good = verdict.clean and not complaints
        self._say(f"{'ok    ' if good else 'FAILED'} {scenario.name}: {endings or 'no runs'} ({took})")
        for line in [*verdict.sentences(), *complaints]:
            self._say(f"       {line}")
        if complaints:
            self.report.broken.append(scenario.name)
        if not good:
            self._give_up_cluster(scenario.name)
        return good

    def _lacking(self, scenario: Scenario) -> str:
        if scenario.process_node and self._node != PROCESSES:
            return f"it needs the process node: {scenario.process_node}"
        return scenario.needs()

    def _one(self, scenario: Scenario, verdict: Verdict, complaints: list[str]) -> None:
        try:
            with self._stage("parts"):
                cluster = self._ready(scenario)
            with self._stage("pool"):
                world = self._world(cluster, scenario)
            with contextlib.closing(world):
                with self._stage("faults"):
                    self._stress(world, scenario, complaints)
                with self._stage("verdicts"):
                    self._mended(world, scenario)
                self._judge(world, scenario, verdict)
                with self._stage("rest"):
                    complaints += self._at_rest(world, scenario)
                with self._stage("removal"):
                    complaints += self._removed(world)
                if complaints or not verdict.clean:
                    complaints += world.notes
            complaints += self._measured(cluster)
        except Exception as error:  # noqa: BLE001 - a scenario that breaks is a finding, and others follow it
            complaints.append("".join(traceback.format_exception_only(error)).strip())

    def _stress(self, world: World, scenario: Scenario, complaints: list[str]) -> None:
        """Inject while the load goes on."""
        rounds = (
            scenario.rounds
            if scenario.rounds <= 1
            else max(scenario.rounds, scenario.runs // RUNS_IN_A_ROUND)
        )
        world.load.start()
        try:
            for number in range(rounds):
                world.await_started(scenario.runs * (number + 1) // (rounds + 2))
                world.round = number
                scenario.inject(world)
                self.report.faults += 1
        except Exception as error:  # noqa: BLE001 - see _one
            complaints.append(f"round {world.round + 1}: {error}")

    def _mended(self, world: World, scenario: Scenario) -> None:
        """Mend everything and wait for every verdict."""
        world.mend()
        world.load.finish((scenario.settle + scenario.runs) * self._patience)
        with contextlib.suppress(AssertionError):  # the verdict tells which have none
            world.until(
                lambda: settled(world.load), "every run has a verdict", scenario.settle + scenario.runs
            )

    def _judge(self, world: World, scenario: Scenario, verdict: Verdict) -> None:
        found = judge(
            world.load.triggered,
            world.load.unsure,
            world.load.shown(),
            world.journal.read(),
            scenario.expected,
        )
        verdict.runs += found.runs
        verdict.lost += found.lost
        verdict.doubled += found.doubled
        verdict.without_verdict += found.without_verdict
        for ending, count in found.endings.items():
            verdict.endings[ending] = verdict.endings.get(ending, 0) + count

    def _at_rest(self, world: World, scenario: Scenario) -> list[str]:
        """Return what keeps the pool from coming to rest."""
        kept = bool(scenario.expected.reasons or scenario.expected.ungranted or scenario.expected.stopped)
        size = len(world.pool.workers()) if "poolSize" in scenario.spec else scenario.size
        return self._settles(lambda: leaks.unrest(world.api, world.pool.ulid, size, kept), world)

    def _removed(self, world: World) -> list[str]:
        """Delete the pool and return what is left of it."""
        world.delete(f"{leaks.GROUP}/namespaces/default/workerpools", world.pool.name)
        found = self._settles(lambda: leaks.remains(world.api, world.pool.ulid, world.pool.name), world)
        world.delete("/api/v1/namespaces/default/secrets", world.pool.name)
        relays = world.cluster.relays

        def lines() -> list[str]:
            wanted = {"operator-broker": 0, "mothership-broker": 1, "launcher-mothership": 0}
            return [
                f"{relays[link].connections} connections on {link} instead of {count}"
                for link, count in wanted.items()
                if relays[link].connections != count
            ]

        return found + self._settles(lines, world)

    def _settles(self, complaints: Callable[[], list[str]], world: World) -> list[str]:
        """Wait until there are no complaints; return the last ones when they stay."""
        found: list[str] = []

        def none() -> bool:
            found[:] = complaints()
            return not found

        with contextlib.suppress(AssertionError):
            world.until(none, "nothing to complain about", CALM)
        return found

    def _measured(self, cluster: Cluster) -> list[str]:
        now = footprints(cluster)
        for part, measure in now.items():
            self.report.peaks[part] = max(self.report.peaks.get(part, 0.0), measure.memory_mib)
        return leaks.grown(self._rest, now)

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._stages[name] = self._stages.get(name, 0.0) + time.monotonic() - began

    def _world(self, cluster: Cluster, scenario: Scenario) -> World:
        self._made += 1
        name = f"{scenario.name.replace('_', '-')[:40]}-{self._made}"
        shell = Shell({**os.environ, **cluster.env()})
        pool = make_pool(shell, name, self._folder, scenario.size, spec=scenario.spec)
        journal = Journal.new(self._outside / f"{name}.journal")
        both: tuple[JsonClient, JsonClient] = clients.api_server(cluster), clients.mothership(cluster)
        load = Load(both[1], pool.ulid, journal, Work(scenario.runs, scenario.work))
        seed = f"{self._seed}/{scenario.name}/{self._part}"
        return World(cluster, both, shell, load, journal, pool, seed, self._patience)

    # --- the cluster

    def _ready(self, scenario: Scenario) -> Cluster:
        """Return the cluster, its parts running as the scenario wants them."""
        if self._cluster is not None and self._replicas != scenario.replicas:
            self.close()
        cluster = self._cluster or self._start(scenario.replicas)
        self._dress(cluster, scenario)
        return cluster

    def _start(self, replicas: int) -> Cluster:
        options = Options(
            allow_paths=(self._outside,),
            arguments=ARGUMENTS,
            relays=frozenset({"all"}),
            replicas=replicas,
            node=self._node,
        )
        where = Path(tempfile.mkdtemp(dir=self._folder)) / "c"
        cluster = clusters.make(where, options, say=lambda _: None)
        cluster.up()
        self._cluster, self._replicas, self._current = cluster, replicas, {}
        # The first runs make the threads, connections and caches that stay.
        warm = Scenario(lambda _: None, runs=10, rounds=0, name="warm-up")
        with contextlib.closing(self._world(cluster, warm)) as world:
            self._stress(world, warm, [])
            self._mended(world, warm)
            self._removed(world)
        self._rest = footprints(cluster)
        return cluster

    def _dress(self, cluster: Cluster, scenario: Scenario) -> None:
        """Restart the parts that run with other arguments or another environment than the scenario wants."""
        for of in PARTS_WITH_ARGUMENTS:
            more = scenario.arguments.get(of, ()), scenario.environment.get(of, {})
            if self._current.get(of, ((), {})) == more:
                continue
            parts = [part for name, part in cluster.components.items() if kind(name) == of]
            for part in parts:
                part.stop()
            cluster.equip(of, (*ARGUMENTS.get(of, ()), *more[0]), more[1])
            for part in parts:
                part.start()
            self._current[of] = more

    def _give_up_cluster(self, name: str) -> None:
        """Keep the logs of a cluster on which something failed, and take a fresh one for the next scenario."""
        if self._cluster is None:
            return
        kept = self._folder / "failed" / name
        kept.parent.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):
            self._cluster.logs_dir.rename(kept)
            self._say(f"       logs: {kept}")
        self.close()


def footprints(cluster: Cluster) -> dict[str, Footprint]:
    """Measure the parts that are watched for leaks."""
    return {
        name: Footprint.of(part.processes())
        for name, part in cluster.components.items()
        if kind(name) in leaks.WATCHED
    }


def run_all(suite: Suite, scenarios: Sequence[Scenario], runs: int | None) -> None:
    """Run every scenario; `runs`, when given, is divided among them in proportion to each one's own load."""
    # Those that want the same parts follow each other: no part is restarted without need.
    ordered = sorted(
        scenarios, key=lambda item: (item.replicas, repr(item.arguments), repr(item.environment), item.name)
    )
    weight = sum(item.runs for item in ordered)
    for item in ordered:
        suite.run(item, item.runs if runs is None else max(FEWEST_RUNS, -(-runs * item.runs // weight)))
