"""Reading files that the run's command can put anything in the place of."""

import os
from pathlib import Path

import pytest

from launcher.files import open_plain, read_text, size_of


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "nothing"])
def test_only_plain_files_are_read(tmp_path: Path, kind: str) -> None:
    """A link would lead to the launcher's own credentials, a pipe would block for ever."""
    (tmp_path / "token").write_text("s3cret")
    place = tmp_path / "alive"
    match kind:
        case "link":
            place.symlink_to(tmp_path / "token")
        case "pipe":
            os.mkfifo(place)
        case "directory":
            place.mkdir()
    assert read_text(place) == ""
    assert size_of(place) == 0
    with pytest.raises(OSError, match="alive"):
        open_plain(place)


def test_a_small_file_is_read_no_further_than_it_may_be_long(tmp_path: Path) -> None:
    """Whatever the run's command has written there."""
    place = tmp_path / "exit"
    place.write_bytes(b"x" * 100_000)
    assert read_text(place) == "x" * 65536
    assert size_of(place) == 100_000
