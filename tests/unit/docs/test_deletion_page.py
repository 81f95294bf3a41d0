"""docs/deletion.md says what the code says, and its links lead somewhere."""

import dataclasses
import re
from pathlib import Path

from app import vocabulary as words
from app.agent.decisions import leaving
from app.agent.decisions.worker_events import deletion_waits
from app.settings import Settings, flag_of
from tests.unit.agent import builders as a

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "deletion.md").read_text(encoding="utf-8")


def test_everything_that_a_deleted_worker_waits_for_is_explained() -> None:
    """In the Event's own words."""
    finished = a.busy("Finished", worker_changes={"deleting": True})
    workers = [
        a.busy("Running", worker_changes={"deleting": True}),
        finished,
        a.worker(status={"registration": "Deregistering"}, deleting=True),
        a.worker(status={"run": {"phase": "?"}}, deleting=True),
    ]
    texts = [leaving.held_by(worker, connected=False) for worker in workers]
    told = [text.replace(a.RUN, "<run>") for text in texts if text is not None]
    assert len(set(told)) == len(workers)
    explained = re.findall(r"^\| `([^`]+)` \| [^|]+ \|$", PAGE, re.MULTILINE)
    assert sorted(explained[1:]) == sorted(told)
    assert explained[0] == deletion_waits("...")[2]


def test_every_finalizer_is_named() -> None:
    """With who takes it off."""
    for finalizer in (words.POOL_FINALIZER, words.WORKER_FINALIZER, words.VERDICT_FINALIZER):
        assert f"| `{finalizer}` |" in PAGE


def test_flags_and_links_exist() -> None:
    """A page about emergencies must not send people into the void."""
    flags = {flag_of(field.name) for field in dataclasses.fields(Settings)}
    assert set(re.findall(r"`(--[a-z-]+-grace)`", PAGE)) <= flags
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
