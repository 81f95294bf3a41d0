"""What the images are made of is pinned, and told the same way everywhere."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from images import catalogue
from images.engines import Engine, Order

ROOT = catalogue.ROOT
LOCKS = ROOT / "images/locks"
DOCKERFILES = sorted({image.dockerfile for image in (*catalogue.IMAGES, catalogue.FIPS)})
ORIGIN = catalogue.Origin(version="1.2.3", revision="abc", source="unknown", epoch=7)
CODE = {
    "operator": ("app", "protocol"),
    "mothership": ("mothership", "protocol"),
    "launcher": ("launcher",),
    "exporter": ("exporter",),
}
# protocol/ reads schemas with jsonschema, which brings this one; kubernetes brings the others, and pins them.
BROUGHT_ALONG = {"referencing", "urllib3", "pyyaml", "werkzeug"}


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_the_base_is_pinned_and_the_same_everywhere(dockerfile: str) -> None:
    """One base for all, to its patch version; every stage stands on it, on another stage or on nothing."""
    text = (ROOT / dockerfile).read_text(encoding="utf-8")
    assert re.findall(r"^ARG PYTHON_IMAGE=(.+)$", text, re.MULTILINE) == [catalogue.BASE]
    stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text, re.MULTILINE)
    names = {name for _, name in stages}
    assert {base for base, _ in stages} <= {"${PYTHON_IMAGE}", "scratch", *names}
    assert stages[-1] == ("scratch", "")
    assert re.fullmatch(r"docker\.io/library/python:\d+\.\d+\.\d+-slim-[a-z]+", catalogue.BASE)


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_nothing_runs_as_root_or_by_tag(dockerfile: str) -> None:
    """The user is a number, so that Kubernetes can see that it isn't root; no frontend is pulled by a floating tag."""
    text = (ROOT / dockerfile).read_text(encoding="utf-8")
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["1983:1983"]
    assert "# syntax" not in text


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_every_label_is_there(dockerfile: str) -> None:
    """What `docker inspect` should say, and what is given again by value."""
    text = (ROOT / dockerfile).read_text(encoding="utf-8")
    labels = set(re.findall(r"(org\.opencontainers\.image\.\S+?)=", text))
    values = catalogue.arguments(catalogue.IMAGES[0], ORIGIN, catalogue.BASE)
    prefix = "org.opencontainers.image."
    assert {f"{prefix}{name}" for name in ("title", "version", "revision", "source", "licenses")} <= labels
    assert set(catalogue.labels(values)) <= labels


@pytest.mark.parametrize("lock", sorted(path.name for path in LOCKS.glob("*.txt")))
def test_a_lock_pins_what_the_requirements_pin(lock: str) -> None:
    """The images have the versions that the tests run with; every package has hashes."""
    wanted = _pins((ROOT / "requirements.txt").read_text()) | _pins(
        (ROOT / "requirements-dev.txt").read_text()
    )
    locked = (LOCKS / lock).read_text(encoding="utf-8")
    pins = _pins(locked)
    assert {name: version for name, version in pins.items() if wanted.get(name, version) != version} == {}
    entries = re.split(r"\n(?=[a-z])", locked)
    assert [
        entry.partition(" ")[0] for entry in entries if "==" in entry and "--hash=sha256:" not in entry
    ] == []
    asked = {
        _normal(line) for line in (LOCKS / lock).with_suffix(".in").read_text().splitlines() if line[0] != "#"
    }
    assert asked <= set(pins) & set(wanted)


@pytest.mark.parametrize("image", sorted(CODE))
def test_an_image_has_what_its_code_imports(image: str) -> None:
    """Nothing is missing, and nothing is carried for nobody."""
    asked = {_normal(line) for line in (LOCKS / f"{image}.in").read_text().splitlines() if line[0] != "#"}
    distributions = importlib.metadata.packages_distributions()
    used = {
        _normal(distributions[module][0])
        for package in CODE[image]
        for path in (ROOT / package).rglob("*.py")
        for module in _imports(path)
        if module in distributions and not (ROOT / module).is_dir()
    }
    assert used - (BROUGHT_ALONG - asked) == asked
    assert used & BROUGHT_ALONG <= set(_pins((LOCKS / f"{image}.txt").read_text()))


@pytest.mark.parametrize(
    ("remote", "label"),
    [
        ("https://git.example.com/team/operator.git", "https://git.example.com/team/operator"),
        ("https://user:secret@git.example.com/operator", "https://git.example.com/operator"),
        ("git@git.example.com:team/operator.git", "unknown"),
        ("/home/someone/operator", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_source_is_told_only_where_it_is_public(remote: str, label: str) -> None:
    """No login and no path of somebody's machine gets into a label."""
    assert catalogue.public_source(remote) == label


def test_tags_name_the_version() -> None:
    """No tag floats; the FIPS make has one of its own."""
    operator = catalogue.IMAGES[0]
    assert catalogue.reference(operator, ORIGIN, "") == "workerpool-operator:1.2.3"
    assert (
        catalogue.reference(catalogue.FIPS, ORIGIN, "r.example.com/t/")
        == "r.example.com/t/workerpool-operator:1.2.3-fips"
    )
    with pytest.raises(ValueError, match="no image is called runner; there are operator"):
        catalogue.chosen(["runner"])


@pytest.mark.parametrize("name", ["buildah", "docker"])
def test_a_build_is_told_what_it_is_made_of(name: str) -> None:
    """Arguments, tag and time get through to either program; buildah gets the labels by value too."""
    order = Order(
        dockerfile="Dockerfile",
        tag="a:1",
        arguments={"VERSION": "1", "FIPS": "true"},
        labels={"l": "v"},
        epoch=7,
        pull=False,
        fresh=True,
    )
    command = Engine(name).build(order)
    assert {
        "--file=Dockerfile",
        "--tag=a:1",
        "--build-arg=VERSION=1",
        "--build-arg=FIPS=true",
        "--no-cache",
    } <= set(command)
    assert command[-1] == "."
    if name == "buildah":
        assert {"--timestamp=7", "--label=l=v", "--pull-never"} <= set(command)
    else:
        assert "--build-arg=SOURCE_DATE_EPOCH=7" in command


def test_the_time_of_files_can_be_given() -> None:
    """By what reproducible builds call it; what is no number is named."""
    assert catalogue.epoch({}) == catalogue.epoch({"SOURCE_DATE_EPOCH": ""}) == catalogue.EPOCH
    assert catalogue.epoch({"SOURCE_DATE_EPOCH": "7"}) == 7
    with pytest.raises(
        ValueError, match="SOURCE_DATE_EPOCH must be a number of seconds since 1970, not 'now'"
    ):
        catalogue.epoch({"SOURCE_DATE_EPOCH": "now"})


def _pins(text: str) -> dict[str, str]:
    return {
        _normal(name): version
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, re.MULTILINE)
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
