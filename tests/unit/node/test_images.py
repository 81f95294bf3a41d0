"""Finding images by reference."""

import json
from pathlib import Path

import pytest

from devcluster.node.images import Image, ImageTable, InvalidImageName, canonical, load_table_file, normalized

ONE, TWO = Image("one", Path("/one")), Image("two", Path("/two"))


def test_a_missing_tag_is_latest() -> None:
    """A port isn't a tag."""
    assert normalized("repo/name") == "repo/name:latest"
    assert normalized("host:5000/name") == "host:5000/name:latest"
    assert normalized("name:1") == "name:1"


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("someone/image:1", "docker.io/someone/image:1"),
        ("localhost/image", "localhost/image:latest"),
        ("host:5000/image:1", "host:5000/image:1"),
        ("registry.example.com/a/b", "registry.example.com/a/b:latest"),
    ],
)
def test_errors_name_images_as_container_runtimes_do(name: str, full: str) -> None:
    """With registry and tag; what has no registry is of Docker Hub."""
    assert canonical(name) == full


@pytest.mark.parametrize("name", ["", "Upper/Case", "a b", "-x", "name:", "a//b"])
def test_a_malformed_name_is_invalid(name: str) -> None:
    """The message is the kubelet's."""
    with pytest.raises(InvalidImageName, match="invalid reference format"):
        normalized(name)


@pytest.mark.parametrize(
    ("length", "why"),
    [(31, "reference format"), (40, "checksum digest length"), (65, "checksum digest length")],
)
def test_a_digest_of_another_length_is_invalid(length: int, why: str) -> None:
    """The reference package tells what is too short to be any digest from one that isn't of this kind."""
    with pytest.raises(InvalidImageName, match=f"invalid {why}"):
        normalized(f"name@sha256:{'a' * length}")
    assert normalized(f"name@sha256:{'a' * 64}")


def test_an_exact_name_goes_before_a_prefix() -> None:
    """Any tag may be mapped at once."""
    table = ImageTable({"repo/a:*": ONE, "repo/a:2": TWO})
    assert table.find("repo/a:1") is ONE
    assert table.find("repo/a") is ONE
    assert table.find("repo/a:2") is TWO
    assert table.find("repo/b:2") is None


def test_a_table_file_adds_directories(tmp_path: Path) -> None:
    """A name maps to a directory or to an object with more."""
    root = tmp_path / "root"
    root.mkdir()
    file = tmp_path / "table.json"
    file.write_text(json.dumps({"a": str(root), "b": {"root": str(root), "entrypoint": ["/x"], "user": 7}}))
    images = load_table_file(file)
    assert images["a"].root == root
    assert (images["b"].entrypoint, images["b"].user) == (("/x",), 7)
    file.write_text(json.dumps({"a": str(tmp_path / "none")}))
    with pytest.raises(ValueError, match="isn't a directory"):
        load_table_file(file)
