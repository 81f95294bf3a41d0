"""Building the tools: versions, fingerprints, progress, and the Go that does it."""

import shutil
from pathlib import Path

import pytest

from devcluster.build import PACKAGES, fingerprint, progress_of, version_flags
from devcluster.paths import TOOLS_MODULE
from devcluster.toolchain import GO_BIN, needed_version, parse_version

GO_MOD = (TOOLS_MODULE / "go.mod").read_text()


def test_the_programs_report_the_version_that_go_mod_pins() -> None:
    """One place says which Kubernetes this is."""
    flags = version_flags("require (\n\tk8s.io/api v0.36.3\n\tk8s.io/kubernetes v1.36.3 // indirect\n)")
    for stamp in ("gitVersion=v1.36.3", "gitMajor=1", "gitMinor=36"):
        assert f"-X k8s.io/component-base/version.{stamp}" in flags
        assert f"-X k8s.io/client-go/pkg/version.{stamp}" in flags


def test_a_go_mod_without_kubernetes_is_an_error() -> None:
    """Programs without a version would be refused by kubectl much later."""
    with pytest.raises(ValueError, match=r"k8s\.io/kubernetes"):
        version_flags("module x")


def test_every_program_that_is_built_is_a_tool_of_the_module() -> None:
    """`go mod tidy` keeps what the tool directives name."""
    assert all(f"\t{package}\n" in GO_MOD for package in PACKAGES.values())


def test_changed_pins_are_another_set_of_tools(tmp_path: Path) -> None:
    """The cache never serves programs of other versions."""
    for name in ("go.mod", "go.sum"):
        shutil.copy(TOOLS_MODULE / name, tmp_path)
    assert fingerprint(tmp_path) == fingerprint(TOOLS_MODULE)
    with (tmp_path / "go.sum").open("a") as sums:
        sums.write("more\n")
    assert fingerprint(tmp_path) != fingerprint(TOOLS_MODULE)


def test_progress_tells_downloads_from_compiled_packages() -> None:
    """Both take minutes, and either may be the one that hangs."""
    said = ["go: downloading k8s.io/api v0.36.3\n", "runtime\n", "k8s.io/api/core/v1\n"]
    assert progress_of(said) == "1 modules downloaded, 2 packages compiled"


@pytest.mark.parametrize(
    ("text", "version"), [("go1.26.8", (1, 26, 8)), ("1.26", (1, 26)), ("go1.27rc1", (1, 27))]
)
def test_go_versions_compare_as_numbers(text: str, version: tuple[int, ...]) -> None:
    """1.9 is older than 1.26."""
    assert parse_version(text) == version
    assert parse_version("go1.9") < version


def test_the_packaged_go_is_new_enough_for_the_tools() -> None:
    """Raising go.mod's version means raising the package's too."""
    assert parse_version(GO_BIN.partition("==")[2]) >= needed_version(GO_MOD)
