"""Image references are read as container runtimes read them, and registries matched without a loophole."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agent.decisions import images
from app.agent.decisions.images import Host, Image, ImageError, parse_host, parse_image

SHA = "sha256:" + "0a" * 32
HUB = Host("docker.io")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("alpine", Image(HUB, "library/alpine")),
        ("alpine:3.20", Image(HUB, "library/alpine", "3.20")),
        ("library/alpine:3", Image(HUB, "library/alpine", "3")),
        ("docker.io/alpine", Image(HUB, "library/alpine")),
        ("index.docker.io/a/b", Image(HUB, "a/b")),
        ("registry-1.docker.io/alpine", Image(HUB, "library/alpine")),
        ("docker.io:443/alpine", Image(Host("docker.io", 443), "alpine")),
        ("evil/docker.io/x", Image(HUB, "evil/docker.io/x")),
        ("localhost/a", Image(Host("localhost"), "a")),
        ("localhost:5000", Image(HUB, "library/localhost", "5000")),
        ("localhost:5000/a", Image(Host("localhost", 5000), "a")),
        ("reg:5000/a:1", Image(Host("reg", 5000), "a", "1")),
        ("127.0.0.1:5000/a", Image(Host("127.0.0.1", 5000), "a")),
        ("[::1]:5000/a", Image(Host("[::1]", 5000), "a")),
        ("[2001:DB8:0:0::1]/a/b", Image(Host("[2001:db8::1]"), "a/b")),
        ("Private.Example/a/b", Image(Host("private.example"), "a/b")),
        (f"Private.Example/a/b@{SHA}", Image(Host("private.example"), "a/b", "", SHA)),
        ("UPPER/a", Image(Host("upper"), "a")),
        ("ghcr.io/a__b/c-d--e.f_g:V_1.2-x", Image(Host("ghcr.io"), "a__b/c-d--e.f_g", "V_1.2-x")),
        (f"a/b:1@{SHA}", Image(HUB, "a/b", "1", SHA)),
        ("xn--e1afmkfd.example/a", Image(Host("xn--e1afmkfd.example"), "a")),
        (f"a@new+kind:{'AB' * 16}", Image(HUB, "library/a", "", f"new+kind:{'AB' * 16}")),
        ("a/" + "b" * 253, Image(HUB, "a/" + "b" * 253)),
    ],
)
def test_a_reference_is_read_as_a_runtime_reads_it(text: str, parts: Image) -> None:
    """Implicit registry and namespace, ports, addresses, tags, digests, and hosts written in capitals."""
    assert parse_image(text) == parts


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "empty"),
        (" alpine", "blanks"),
        ("alpine\n", "blanks"),
        ("a\x00b", "blanks or control"),
        ("0a" * 32, "ID of an image"),
        ("Alpine", "lower case"),
        ("ghcr.io/Org/image", "lower case"),
        ("a//b", "empty"),
        ("a/", "empty"),
        ("/a", "empty"),
        ("a/b:", "tag"),
        ("a:.1", "tag"),
        ("a:" + "1" * 129, "tag"),
        ("a:1:2", "tag"),
        ("a@", "digest"),
        ("a@sha256:00", "digest"),
        (f"a@sha256:{'0A' * 32}", "64 lower-case"),
        (f"a@sha512:{'0a' * 32}", "128 lower-case"),
        (f"a@{SHA}@{SHA}", "digest"),
        (f"@{SHA}", "empty"),
        ("http://reg.example/a", "not a registry"),
        ("reg.example./a", "not a registry"),
        ("-reg.example/a", "not a registry"),
        ("reg.example:0/a", "not a registry"),
        ("reg.example:99999/a", "not a registry"),
        ("reg.example:" + "9" * 5000 + "/a", "not a registry"),
        ("reg.example:/a", "not a registry"),
        ("[:::]/a", "not a registry"),
        ("user@reg.example/a", "digest"),
        ("a_/b", "joined by"),
        ("a___b", "joined by"),
        ("é/b", "joined by"),
        ("a/" + "b" * 254, "256 characters"),
    ],
)
def test_what_is_no_reference_says_why(text: str, wrong: str) -> None:
    """The sentence names the image and what is wrong with it."""
    with pytest.raises(ImageError, match="is not an image reference: .*" + re.escape(wrong)) as caught:
        parse_image(text)
    assert text[:20].replace("\n", "?").replace("\x00", "?") in str(caught.value)


@pytest.mark.parametrize(
    ("image", "entries", "admitted"),
    [
        ("ghcr.io/a", [], True),
        ("alpine", ["docker.io"], True),
        ("alpine", ["index.docker.io"], True),
        ("alpine", ["REGISTRY-1.docker.io"], True),
        ("GHCR.io/a", ["ghcr.IO"], True),
        ("ghcr.io.evil.example/a", ["ghcr.io"], False),
        ("evil.example/ghcr.io/a", ["ghcr.io"], False),
        ("sub.ghcr.io/a", ["ghcr.io"], False),
        ("reg.example:5000/a", ["reg.example"], False),
        ("reg.example:5000/a", ["reg.example:5000"], True),
        ("reg.example:5000/a", ["reg.example:05000"], True),
        ("reg.example/a", ["reg.example:5000"], False),
        ("docker.io:443/a", ["docker.io"], False),
        ("[::1]:5000/a", ["[0:0::1]:5000"], True),
        ("ghcr.io/a", ["https://ghcr.io", "ghcr.io/a", "*", ""], False),
        ("ghcr.io/a", ["https://ghcr.io", "ghcr.io"], True),
    ],
)
def test_a_pool_admits_the_registries_that_it_lists(image: str, entries: list[str], admitted: bool) -> None:
    """No list is every registry; a port is part of a registry's name; what is no host admits nothing."""
    assert images.allowed(parse_image(image), entries) is admitted


def test_entries_that_can_match_nothing_are_found() -> None:
    """A list of them alone would refuse every run."""
    entries = ["ghcr.io", "https://ghcr.io", "ghcr.io/org", "*.example", "reg:5000", "localhost"]
    assert images.useless_entries(entries) == ["https://ghcr.io", "ghcr.io/org", "*.example"]


LABEL = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,8}[a-zA-Z0-9])?", fullmatch=True)
HOSTS = st.one_of(
    st.builds(lambda *labels: ".".join(labels), LABEL, LABEL),
    st.builds(lambda label: f"{label}.example", LABEL),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address.exploded}]"),
    st.just("localhost"),
)
PORTS = st.one_of(st.none(), st.integers(1, 65535))
PART = st.from_regex(r"[a-z0-9]{1,8}((_|__|\.|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
PATHS = st.lists(PART, min_size=1, max_size=4).map("/".join)
TAGS = st.one_of(st.just(""), st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", fullmatch=True))
DIGESTS = st.one_of(st.just(""), st.from_regex(r"[0-9a-f]{64}", fullmatch=True).map("sha256:{}".format))


@given(HOSTS, PORTS, PATHS, TAGS, DIGESTS)
def test_whatever_the_grammar_makes_is_read_back(
    host: str, port: int | None, path: str, tag: str, digest: str
) -> None:
    """Host, port, path, tag and digest come out as they went in, the host in its one spelling."""
    name = host if port is None else f"{host}:{port}"
    text = f"{name}/{path}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    found = parse_image(text)
    assert (found.host, found.path, found.tag, found.digest) == (parse_host(name), path, tag, digest)
    assert found.host.port == port
    assert parse_host(str(found.host)) == found.host
    assert images.allowed(found, [name.swapcase()])


@given(PATHS, TAGS)
def test_a_name_without_a_host_is_docker_hubs(path: str, tag: str) -> None:
    """Unless its first part shows to be a host, which one without dots in it doesn't."""
    path = path.replace(".", "-")
    text = path + (f":{tag}" if tag else "")
    if path.startswith("localhost/") or re.fullmatch(r"[a-f0-9]{64}", text):
        return
    assert parse_image(text).host == HUB
    assert parse_image(text) == parse_image(f"docker.io/{text}")


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("aA0./:@[]-_ ", max_size=40))
def test_any_text_is_a_reference_or_a_sentence(text: str) -> None:
    """Nothing else is ever raised, and what is read is never outside its grammar."""
    found, sentence = None, ""
    try:
        found = parse_image(text)
    except ImageError as error:
        sentence = str(error)
    if found is None:
        assert "is not an image reference" in sentence
        assert sentence.isprintable()
    else:
        assert re.fullmatch(r"[a-z0-9._/-]+", found.path)
        assert found.host.name == found.host.name.lower()
