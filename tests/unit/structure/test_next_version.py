"""The versions that upgrade tests make of this tree can be made of it: found out here in a second, there in minutes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e import nextversion
from tests.e2e.nextversion import BREAKING, NEXT, THIS

SHOW = (
    "import app.assembly, app.vocabulary, mothership.desk, protocol.messages as m;"
    "print(app.assembly.VERSION, app.vocabulary.SCHEMA_REVISION, m.WorkerNote.type, m.PoolNote.type)"
)


@pytest.mark.parametrize(("version", "needs"), [(NEXT, "2"), (BREAKING, "3")])
def test_a_version_is_made(version: str, needs: str, tmp_path: Path) -> None:
    """It can be imported, and says what it is."""
    tree = nextversion.make(tmp_path / version, version)
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=tree, capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.split() == [version, needs, "worker_note", "pool_note"]
    assert THIS not in (tree / nextversion.CHART / "Chart.yaml").read_text(encoding="utf-8")
