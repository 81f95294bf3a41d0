"""Versions after this one, as upgrade tests need them: this tree, with a little more of everything that versions share.

One more field and column in the definitions, one more field in the ledger, in messages and in the environment and labels
of run Pods, one more kind of message in each direction. Each change is made where the text is found exactly once, or as
often as it says, so that a test fails here, and not somewhere, when the tree has moved on.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness import ROOT

THIS, NEXT, BREAKING = "0.1.0", "0.2.0", "0.3.0"
"""BREAKING has a schema revision that the others' operators refuse, and refuses theirs."""
PARTS = ("app", "protocol", "mothership", "charts", "crds", "manifests", "metacontroller")
CHART = "charts/spacelift-workerpool-controller"
VERSION_LABEL = "workers.spacelift.io/operator-version"
VERSION_VARIABLE = "SPACELIFT_OPERATOR_VERSION"
NEW_FIELD, NEW_COLUMN, NEW_LEDGER_FIELD = "purpose", "Purpose", "claimedBy"


@dataclass(frozen=True)
class Edit:
    """A text of a file that is replaced, as often as it is there."""

    file: str
    old: str
    new: str
    times: int = 1


def _column(text: str) -> str:
    return f"{text[: len(text) - len(text.lstrip())]}- name: {NEW_COLUMN}\n          type: string\n          jsonPath: .spec.{NEW_FIELD}\n"


_POOLS, _WORKERS = (f"crds/workers.spacelift.io_{name}.yaml" for name in ("workerpools", "workers"))
_SIZE = "        - name: Desired pool size\n"
_SPEC = (
    "              description: What the user wants.\n              type: object\n              properties:\n"
)
_RUN = "                  description: The run in flight.\n                  type: object\n                  properties:\n"
_REVISION = "workers.spacelift.io/schema-revision: '2'"
_NOTE = "\n\n@dataclass(frozen=True, slots=True, kw_only=True)\nclass {}({}):\n    type: ClassVar[str] = {!r}\n    note: str\n"
_REGISTERED = "\n\n# Mothership -> worker\n"


def edits(version: str) -> tuple[Edit, ...]:
    """Return how a version differs from this one; BREAKING ones by what the operator asks of the definitions, too."""
    breaking = version == BREAKING
    revision = _REVISION.replace("'2'", "'3'" if breaking else "'2.1'")
    found: tuple[Edit, ...] = (
        # The definitions: compatible, so the revision's first number stays.
        Edit(_POOLS, _REVISION, revision),
        Edit(_POOLS, _SIZE, _column(_SIZE) + _SIZE, 2),
        Edit(_POOLS, _SPEC, f"{_SPEC}                {NEW_FIELD}:\n                  type: string\n", 2),
        Edit(_WORKERS, _REVISION, revision),
        Edit(_WORKERS, _RUN, f"{_RUN}                    {NEW_LEDGER_FIELD}:\n                      type: string\n"),
        # The protocol: fields and kinds that the version before doesn't know.
        Edit("protocol/messages.py", "    protocol: int\n", "    protocol: int\n    minor: int | None = None\n"),
        Edit("protocol/messages.py", '    tool: str = ""\n', '    tool: str = ""\n    advice: str = ""\n'),
        Edit(
            "protocol/messages.py",
            _REGISTERED,
            _NOTE.format("WorkerNote", "WorkerMessage", "worker_note")
            + _NOTE.format("PoolNote", "Message", "pool_note")
            + _REGISTERED,
        ),
        Edit("protocol/messages.py", "    Inventory,\n)", "    Inventory,\n    WorkerNote,\n)"),
        Edit("protocol/messages.py", "    Cycle,\n)", "    Cycle,\n    PoolNote,\n)"),
        # The operator.
        Edit("app/assembly.py", f'VERSION: Final = "{THIS}"', f'VERSION: Final = "{version}"'),
        Edit("app/agent/decisions/outbox.py", "from protocol.messages import (\n", "from protocol.messages import (\n    WorkerNote,\n"),
        Edit("app/agent/decisions/outbox.py", "        protocol=PROTOCOL_VERSION,\n", "        protocol=PROTOCOL_VERSION,\n        minor=1,\n"),
        Edit(
            "app/agent/decisions/outbox.py",
            "    items = [accepted(worker, run, standing.pool_uid)]\n",
            "    items = [accepted(worker, run, standing.pool_uid)]\n"
            f'    note = WorkerNote(worker_uid=worker.uid, pool_uid=standing.pool_uid, note="{version}")\n'
            '    items.append(Item(f"note:{suffix}", note))\n',
        ),
        Edit(
            "app/agent/patches.py",
            '                "scheduledAt": facts.scheduled_at,\n',
            f'                "scheduledAt": facts.scheduled_at,\n                "{NEW_LEDGER_FIELD}": "{version}",\n',
        ),
        Edit(
            "app/children/metadata.py",
            "        RUN_LABEL: order.run_id,\n",
            f'        RUN_LABEL: order.run_id,\n        "{VERSION_LABEL}": "{version}",\n',
        ),
        Edit(
            "app/children/environment.py",
            '    return [_variable("SPACELIFT_RUN_ID", order.run_id), ',
            f'    return [_variable("{VERSION_VARIABLE}", "{version}"), _variable("SPACELIFT_RUN_ID", order.run_id), ',
        ),
        Edit(
            "app/children/worker.py",
            '"annotations": {POOL_NAME_ANNOTATION: pool_name}',
            f'"annotations": {{POOL_NAME_ANNOTATION: pool_name, "{VERSION_LABEL}": "{version}"}}',
            2,
        ),
        # The mothership.
        Edit("mothership/desk.py", "from protocol.messages import (\n", "from protocol.messages import (\n    PoolNote,\n    WorkerNote,\n"),
        Edit("mothership/desk.py", "            Register: self._register,\n", "            Register: self._register,\n            WorkerNote: self._note,\n"),
        Edit(
            "mothership/desk.py",
            "    def _unregister(\n",
            "    def _note(self, conn, topic, message, now):\n"
            '        _log.info("worker note", note=message.note)\n'
            f'        return [Outgoing(topic.pool, topic.pool, PoolNote(pool_uid=message.pool_uid, note="{version}"))]\n\n'
            "    def _unregister(\n",
        ),
        Edit(
            "mothership/desk.py",
            "        answers = [] if known or gone else [_unregistered(topic, message)]\n",
            "        answers = [] if known or gone else [_unregistered(topic, message)]\n"
            "        if isinstance(message, RunAccepted):\n"
            f'            note = PoolNote(pool_uid=message.pool_uid, note="{version}")\n'
            "            answers.append(Outgoing(topic.pool, topic.pool, note))\n",
        ),
        Edit("mothership/outgoing.py", "            tool=due.tool,\n", f'            tool=due.tool,\n            advice="{version}",\n'),
        # The chart.
        Edit(f"{CHART}/Chart.yaml", THIS, version, 4),
        Edit(f"{CHART}/charts/spacelift-promex/Chart.yaml", THIS, version, 2),
        Edit(f"{CHART}/charts/crds/Chart.yaml", THIS, version, 2),
        Edit(
            f"{CHART}/templates/deployment.yaml",
            "            # Of the Pod and not of the host, which may be the node.\n",
            "            - name: OPERATOR_RELEASE\n              value: {{ .Chart.AppVersion | quote }}\n"
            "            # Of the Pod and not of the host, which may be the node.\n",
        ),
    )  # fmt: skip
    if breaking:
        old = 'SCHEMA_REVISION: Final = "2"'
        found = (*found, Edit("app/vocabulary.py", old, old.replace("2", "3")))
    return found


def make(folder: Path, version: str) -> Path:
    """Write a version's tree into `folder` and return it; raise AssertionError where this tree has moved on."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for edit in edits(version):
        path = folder / edit.file
        text = path.read_text(encoding="utf-8")
        found = text.count(edit.old)
        assert found == edit.times, f"{edit.file} has {edit.old!r} {found} times, not {edit.times}"
        path.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
    for kind, worker in (("worker_note", True), ("pool_note", False)):
        (folder / "protocol" / "schemas" / f"{kind}.json").write_text(
            json.dumps(_schema(kind, worker=worker))
        )
    for file in (_POOLS, _WORKERS):
        shutil.copy(folder / file, folder / CHART / "charts/crds/files")
    return folder


def _schema(kind: str, *, worker: bool) -> dict[str, object]:
    """Return the schema of a new kind of message."""
    uids = ["poolUID", *(["workerUID"] if worker else [])]
    properties: dict[str, object] = {"type": {"const": kind}, "note": {"type": "string"}}
    properties |= {uid: {"$ref": "common.json#/$defs/uid"} for uid in uids}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://workers.spacelift.io/protocol/v1/{kind}.json",
        "type": "object",
        "required": ["type", "id", "time", "note", *uids],
        "properties": properties,
    }
