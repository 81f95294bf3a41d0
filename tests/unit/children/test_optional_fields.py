"""Every optional field: absent, null and empty are the same Pod, and a value always finds its place."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.schemas import workerpool_schema
from tests.unit.children.pods import Object, built, pool_settings

ALL = pool_settings("all-options")
ABSENT = object()
OF_CONTAINERS = ("initContainer", "grpcServerContainer", "workerContainer")
CHOSEN_BY_THE_AGENT = ("defaultRunnerImage", "defaultAnsibleRunnerImage")
"""Fields that aren't the Pod's: the image is chosen when the run is claimed."""

RESOURCES = {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}, "claims": [{"name": "gpu"}]}
SECURITY_CONTEXT = {
    "allowPrivilegeEscalation": True,
    "appArmorProfile": {"type": "RuntimeDefault"},
    "capabilities": {"add": ["NET_ADMIN"], "drop": ["NET_RAW"]},
    "privileged": False,
    "procMount": "Default",
    "readOnlyRootFilesystem": True,
    "runAsGroup": 5,
    "runAsNonRoot": False,
    "runAsUser": 5,
    "seLinuxOptions": {"level": "s0"},
    "seccompProfile": {"type": "Localhost", "localhostProfile": "mine.json"},
}
POD_SECURITY_CONTEXT = {
    "appArmorProfile": {"type": "RuntimeDefault"},
    "fsGroup": 5,
    "fsGroupChangePolicy": "Always",
    "runAsGroup": 5,
    "runAsNonRoot": False,
    "runAsUser": 5,
    "seLinuxChangePolicy": "MountOption",
    "seLinuxOptions": {"level": "s0"},
    "seccompProfile": {"type": "Localhost", "localhostProfile": "mine.json"},
    "supplementalGroups": [5],
    "supplementalGroupsPolicy": "Strict",
    "sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}],
}
FULL: Object = {
    **ALL,
    "securityContext": POD_SECURITY_CONTEXT,
    **{
        section: {**ALL[section], "resources": RESOURCES, "securityContext": SECURITY_CONTEXT}
        for section in OF_CONTAINERS
    },
}
"""Each optional field with a value."""

NESTED = (*OF_CONTAINERS, "securityContext", "capabilities", "resources", "dnsConfig")
"""Fields whose own fields are optional and mean nothing when they are empty."""


def blanks(value: object) -> list[object]:
    """Return what stands for nothing in a field that may hold `value`."""
    empty: list[object] = [type(value)()] if isinstance(value, (str, list, dict)) else []
    return [ABSENT, None, *empty]


@st.composite
def with_blanks(draw: st.DrawFn, *, values: bool) -> tuple[Object, Object]:
    """Return settings with some fields of FULL (none without `values`), and the same with blanks in the other fields."""
    return drawn_part(draw, FULL, st.booleans() if values else st.just(False))


def drawn_part(draw: st.DrawFn, full: Object, is_given: st.SearchStrategy[bool]) -> tuple[Object, Object]:
    """Draw what stands in each field of `full`, and within those that have optional fields of their own."""
    without: Object = {}
    blank: Object = {}
    for field, value in full.items():
        if field in NESTED and draw(st.booleans()):
            without[field], blank[field] = drawn_part(draw, value, is_given)
        elif draw(is_given):
            without[field] = blank[field] = value
        elif (nothing := draw(st.sampled_from(blanks(value)))) is not ABSENT:
            blank[field] = nothing
    return without, blank


@given(with_blanks(values=True))
def test_absent_null_and_empty_are_the_same_pod(pair: tuple[Object, Object]) -> None:
    """Over all fields, those of containers, security contexts, resources and DNS included, in any combination."""
    without, blank = pair
    assert built(blank) == built(without)


@given(with_blanks(values=False))
def test_nothing_but_blanks_is_the_minimal_pod(pair: tuple[Object, Object]) -> None:
    """Sections that hold only blanks are blank themselves."""
    _, blank = pair
    assert built(blank) == built()


def members(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - any JSON value
    """Yield the path of every object within `value`."""
    if isinstance(value, dict):
        yield path
        for key, item in value.items():
            yield from members(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from members(item, (*path, index))


@pytest.mark.parametrize("path", list(members(ALL)), ids=str)
def test_null_members_are_no_members_at_any_depth(path: tuple[Any, ...]) -> None:
    """The CRD lets every optional field be null, and the API server stores that."""
    settings = pool_settings("all-options")
    target = settings
    for step in path:
        target = target[step]
    target["aFieldThatIsNull"] = None
    assert built(settings) == built(ALL)


@pytest.mark.parametrize("empty", [{"labelSelector": {}}, {"labelSelector": {}, "namespaceSelector": {}}])
def test_empty_selectors_keep_their_meaning(empty: Object) -> None:
    """An empty selector selects everything, an absent one nothing."""
    term = {"topologyKey": "kubernetes.io/hostname", **empty}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert built(affinity=affinity)["spec"]["affinity"] == affinity


@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        ({"automountServiceAccountToken": False}, "automountServiceAccountToken", False),
        ({"terminationGracePeriodSeconds": 0}, "terminationGracePeriodSeconds", 0),
    ],
)
def test_false_and_zero_are_values(settings: Object, field: str, value: object) -> None:
    """Only null and empty count as not given."""
    assert built(settings)["spec"][field] == value


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - any JSON value
    """Yield the path of every text, number and flag within `value`."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path


@pytest.mark.parametrize(
    "path", [path for path in leaves(ALL) if path[0] not in CHOSEN_BY_THE_AGENT], ids=str
)
def test_every_value_reaches_the_pod(path: tuple[Any, ...]) -> None:
    """Another value in any one place of the documented example makes another Pod: nothing is ignored."""
    settings = pool_settings("all-options")
    target = settings
    for step in path[:-1]:
        target = target[step]
    last = path[-1]
    target[last] = {str: "another", bool: False, int: 7}[type(target[last])]
    assert built(settings) != built(ALL)


def test_the_example_has_every_field_of_the_crd() -> None:
    """So that the facts above are about all of them."""
    of_pod = workerpool_schema()["properties"]["spec"]["properties"]["pod"]["properties"]
    assert set(of_pod) <= set(ALL)
    for section in OF_CONTAINERS:
        assert set(of_pod[section]["properties"]) == set(ALL[section])
