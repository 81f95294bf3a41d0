"""Where a container's mounts go in a file system that can't be written."""

from pathlib import Path

import pytest

from devcluster.node.mounts import BindMount, Farm, MakeDir, MountError, Rootfs, write_farm
from devcluster.node.rootfs import VolumeBind, add_volumes, find_program, written


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return an image with a program, a link out of its directory and an absolute link."""
    root = tmp_path / "image"
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "tool").write_text("#!/bin/sh\n")
    (root / "usr" / "bin" / "tool").chmod(0o755)
    (root / "usr" / "bin" / "alias").symlink_to("tool")
    (root / "var").mkdir()
    (root / "var" / "run").symlink_to("/run")
    return root


@pytest.fixture
def rootfs(image: Path) -> Rootfs:
    """Return the plan of a container with that image."""
    plan = Rootfs()
    plan.bind(image / "usr", "/usr")
    plan.bind(image / "var", "/var")
    plan.add_link("/bin", "usr/bin")
    plan.add_dir("/run")
    return plan


def volume(tmp_path: Path, name: str) -> Path:
    """Return a volume's directory."""
    place = tmp_path / name
    place.mkdir()
    return place


def test_a_missing_mount_point_in_the_root_is_a_directory_of_the_root(rootfs: Rootfs, tmp_path: Path) -> None:
    """Every level gets readable permissions of its own."""
    rootfs.bind(volume(tmp_path, "v"), "/opt/a/b", writable=True)
    steps = rootfs.steps()
    assert [step for step in steps if isinstance(step, MakeDir)][-3:] == [
        MakeDir("/opt"),
        MakeDir("/opt/a"),
        MakeDir("/opt/a/b"),
    ]
    assert steps[-1] == BindMount(tmp_path / "v", "/opt/a/b", writable=True)


def test_links_of_the_image_are_followed(rootfs: Rootfs, tmp_path: Path) -> None:
    """The admission plugin's /var/run/secrets lands where /var/run points to."""
    rootfs.bind(volume(tmp_path, "v"), "/var/run/secrets/x")
    assert rootfs.steps()[-1].target == "/run/secrets/x"


def test_a_missing_mount_point_in_the_image_makes_a_farm(rootfs: Rootfs, image: Path, tmp_path: Path) -> None:
    """The directory is replaced by links to its entries and the mount point."""
    rootfs.bind(volume(tmp_path, "v"), "/bin/new/deep")
    farm = next(step for step in rootfs.steps() if isinstance(step, Farm))
    assert (farm.target, farm.extra) == ("/usr/bin", {"new": True, "new/deep": True})
    place = write_farm(farm, tmp_path / "farms")
    assert (place / "tool").readlink() == Path(".image/tool")
    assert (place / "alias").readlink() == Path("tool")
    assert (place / "new" / "deep").is_dir()
    replaced = [step for step in written([farm], tmp_path / "farms") if isinstance(step, BindMount)]
    assert [(step.source, step.target) for step in replaced] == [
        (place, "/usr/bin"),
        (image / "usr/bin", "/usr/bin/.image"),
    ]


def test_a_mount_inside_a_volume_is_created_in_the_volume(rootfs: Rootfs, tmp_path: Path) -> None:
    """As a container runtime does it."""
    outer, inner = volume(tmp_path, "outer"), volume(tmp_path, "inner")
    binds = [VolumeBind(inner, "/data/sub/dir", writable=False), VolumeBind(outer, "/data", writable=False)]
    add_volumes(rootfs, binds)
    assert (outer / "sub" / "dir").is_dir()
    assert [step.target for step in rootfs.steps()][-2:] == ["/data", "/data/sub/dir"]


def test_programs_are_found_through_links_and_volumes(rootfs: Rootfs, image: Path, tmp_path: Path) -> None:
    """A name is looked up in PATH, a path as it is; what isn't executable isn't found."""
    tool = image / "usr" / "bin" / "tool"
    assert find_program(rootfs, "alias", "/nowhere:/bin", "/") == ("/bin/alias", tool)
    place = volume(tmp_path, "v")
    (place / "plain").write_text("")
    rootfs.bind(place, "/opt/v", writable=True, own=True)
    assert find_program(rootfs, "/opt/v/plain", "", "/") is None


def test_a_loop_of_links_is_an_error(rootfs: Rootfs) -> None:
    """It ends."""
    rootfs.add_link("/one", "/two")
    rootfs.add_link("/two", "/one")
    with pytest.raises(MountError, match="too many levels"):
        rootfs.exists("/one/x")
