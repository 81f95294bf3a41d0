"""The pages about installing say what is installed."""

import re
from pathlib import Path

import pytest
import yaml

from app.settings import flag_of
from tests.unit.docs import rights
from tests.unit.manifests.test_manifests import documents

ROOT = Path(__file__).parents[3]
PAGES = ("install.md", "network.md", "rbac.md", "sizing.md")


@pytest.mark.parametrize("name", rights.TABLES)
def test_the_table_of_rights_is_the_manifests(name: str) -> None:
    """`python -m tests.unit.docs.rights` writes it."""
    table = rights.table(name)
    assert table.count("\n") > 3
    assert rights.written(rights.PAGE.read_text(encoding="utf-8"), name) == table


@pytest.mark.parametrize("page", PAGES)
def test_links_files_and_flags_exist(page: str) -> None:
    """A reader follows them."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:\s]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target
    for path in re.findall(r"(?<![\w/.])((?:manifests|metacontroller)/[\w./-]*\w)", text):
        if "NAME" not in path and not path.startswith("metacontroller/metacontroller"):
            assert (ROOT / path).exists(), path
    ours = (
        "hook-credentials-secret",
        "hook-certificate-dir",
        "hook-token-file",
        "hook-server-names",
        "threads",
    )
    for flag in ours:
        assert flag_of(flag.replace("-", "_")) == f"--{flag}"


def test_every_overlay_is_described() -> None:
    """By its name, in the table of variants."""
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    for overlay in (ROOT / "manifests" / "overlays").iterdir():
        assert f"`{overlay.name}`" in text, overlay.name
    assert "`egress`" in text


def test_metacontrollers_settings_are_those_of_the_manifests() -> None:
    """The values for its chart give the same arguments."""
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    (block,) = [each for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "commandArgs" in each]
    values = yaml.safe_load(block)
    (deployment,) = [each for each in documents("manifests/metacontroller") if each["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert set(values["commandArgs"]) <= set(container["args"])
    assert values["replicas"] == deployment["spec"]["replicas"]
    assert values["resources"] == container["resources"]
    assert container["image"].endswith(":v4.17.2")
    assert "--version 4.17.2" in block
