"""The command lines of sandboxes."""

from dataclasses import replace
from pathlib import Path

import pytest

from devcluster.node.mounts import BindMount, Farm, MakeDir, MakeLink
from devcluster.node.sandbox import Identity, Sandbox, bwrap_command, bwrap_options, proot_argv

BOX = Sandbox(
    argv=["run", "it"],
    env={"SECRET": "s"},
    cwd="/w",
    hostname="h" * 70,
    steps=[MakeDir("/w"), MakeLink("/bin", "usr/bin"), BindMount(Path("/v"), "/w", writable=True)],
    identity=Identity(1983, 1984, (1985,)),
    termination_log=Path("/t"),
    termination_path="/dev/termination-log",
    real_ids=True,
)


def test_the_environment_is_an_option_and_not_part_of_the_command() -> None:
    """Options are handed over by descriptor, so no Secret shows in a list of processes."""
    assert "SECRET" in bwrap_options(BOX)
    assert not any("SECRET" in word for word in bwrap_command(BOX))


def test_as_root_the_user_is_changed_for_real() -> None:
    """Owners and fsGroup count as in a container."""
    command = bwrap_command(BOX)
    assert command[0] == "/usr/bin/setpriv"
    assert command[command.index("--groups") + 1] == "1985"
    assert command[-2:] == ["run", "it"]
    assert "--unshare-user" not in bwrap_options(BOX)


def test_without_root_a_user_namespace_shows_the_ids() -> None:
    """There is nothing to change to."""
    box = replace(BOX, real_ids=False)
    options = bwrap_options(box)
    assert options[options.index("--uid") + 1] == "1983"
    assert bwrap_command(box) == ["run", "it"]


def test_a_container_of_root_keeps_capabilities_unless_they_are_dropped() -> None:
    """Device nodes and raw sockets are never among them."""
    root = replace(BOX, identity=Identity(0, 0))
    assert "CAP_CHOWN" in bwrap_options(root)
    assert "CAP_MKNOD" not in bwrap_options(root)
    assert "--cap-add" not in bwrap_options(replace(root, drop_all=True))


def test_the_host_name_is_cut_to_what_the_kernel_takes() -> None:
    """Pod names may be longer."""
    options = bwrap_options(BOX)
    assert options[options.index("--hostname") + 1] == "h" * 63


def test_mounts_come_in_order_and_a_read_only_root_last() -> None:
    """Directories of the root are readable for everyone."""
    options = bwrap_options(replace(BOX, read_only=True))
    text = " ".join(options)
    assert "--perms 0755 --dir /w --symlink usr/bin /bin --bind /v /w" in text
    assert text.index("--remount-ro /") > text.index("/dev/termination-log")


def test_a_farm_must_be_written_before() -> None:
    """It has no options of its own."""
    with pytest.raises(ValueError, match="written first"):
        bwrap_options(replace(BOX, steps=[Farm("/usr", Path("/x"))]))


def test_proot_stands_in_with_binds_and_ids() -> None:
    """The command comes last."""
    argv = proot_argv(BOX, ["start", "proot"], Path("/root-dir"))
    assert argv[:4] == ["start", "proot", "-r", "/root-dir"]
    assert argv[-2:] == ["run", "it"]
    assert "/v:/w!" in argv
    assert argv[argv.index("-i") + 1] == "1983:1984"
