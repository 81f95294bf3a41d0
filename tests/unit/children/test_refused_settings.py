"""Settings that no Pod can be built from: the CRD refuses most of them, and a revision may still have them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.children.pod_settings import DEEPEST
from app.errors import PodSettingsError
from tests.unit.children.pods import OUR_SECTIONS, Object, built, container_names, pool_settings

CREDENTIALS = {"name": "run-credentials", "mountPath": "/stolen"}
ALL = pool_settings("all-options")
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def refusal(settings: Object) -> PodSettingsError:
    """Return the error that building raises."""
    with pytest.raises(PodSettingsError) as caught:
        built(settings)
    return caught.value


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"volumes": "none"}, "pod.volumes"),
        ({"volumes": [{"name": "a"}, "none"]}, "pod.volumes[1]"),
        ({"volumes": [None]}, "pod.volumes[0]"),
        ({"volumes": [{"emptyDir": {}}]}, "pod.volumes[0].name"),
        ({"workspaceVolume": "none"}, "pod.workspaceVolume"),
        ({"workspaceVolume": {"name": 3}}, "pod.workspaceVolume.name"),
        ({"launcherImage": 3}, "pod.launcherImage"),
        ({"activeDeadlineSeconds": "1h"}, "pod.activeDeadlineSeconds"),
        ({"terminationGracePeriodSeconds": True}, "pod.terminationGracePeriodSeconds"),
        ({"automountServiceAccountToken": "yes"}, "pod.automountServiceAccountToken"),
        ({"labels": "x"}, "pod.labels"),
        ({"labels": {"team": 3}}, "pod.labels[team]"),
        ({"nodeSelector": {"disk": False}}, "pod.nodeSelector[disk]"),
        ({"affinity": [1]}, "pod.affinity"),
        ({"initContainer": ["x"]}, "pod.initContainer"),
        ({"workerContainer": {"env": {"A": "b"}}}, "pod.workerContainer.env"),
        ({"workerContainer": {"env": [{"value": "b"}]}}, "pod.workerContainer.env[0].name"),
        ({"workerContainer": {"resources": 1}}, "pod.workerContainer.resources"),
        (
            {"workerContainer": {"securityContext": {"capabilities": {"add": [1]}}}},
            "pod.workerContainer.securityContext.capabilities.add[0]",
        ),
        ({"additionalSidecarContainers": [{}]}, "pod.additionalSidecarContainers[0].name"),
    ],
)
def test_an_impossible_shape_is_named_by_its_path(settings: Object, field: str) -> None:
    """Instead of a Pod that means something else."""
    assert refusal(settings).field == field


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"workspaceVolume": {"name": "run-credentials"}}, "pod.workspaceVolume.name"),
        ({"binariesCacheVolume": {"name": "run-credentials"}}, "pod.binariesCacheVolume.name"),
        ({"binariesCacheVolume": {"name": "workspace"}}, "pod.binariesCacheVolume.name"),
        ({"volumes": [{"name": "a"}, {"name": "b"}, {"name": "run-credentials"}]}, "pod.volumes[2].name"),
        ({"volumes": [{"name": "workspace"}]}, "pod.volumes[0].name"),
        ({"volumes": [{"name": "a"}, {"name": "a"}]}, "pod.volumes[1].name"),
        ({"volumes": [{"name": "mine"}], "workspaceVolume": {"name": "mine"}}, "pod.volumes[0].name"),
        *(
            ({place: [{"name": name}]}, f"pod.{place}[0].name")
            for place in ("customInitContainers", "additionalSidecarContainers")
            for name in OUR_SECTIONS
        ),
        (
            {"customInitContainers": [{"name": "a"}], "additionalSidecarContainers": [{"name": "a"}]},
            "pod.additionalSidecarContainers[0].name",
        ),
    ],
)
@pytest.mark.parametrize("native", [False, True])
def test_a_name_that_is_taken_is_refused(settings: Object, field: str, *, native: bool) -> None:
    """By ours or by another one of the user's; the message says what to do."""
    with pytest.raises(PodSettingsError, match="a name of its own") as caught:
        built(settings, native_sidecars=native)
    assert caught.value.field == field


def test_the_names_of_ours_are_free_where_they_are_not_used() -> None:
    """A pool that names its own workspace volume may call another one `workspace`."""
    pod = built(workspaceVolume={"name": "mine"}, volumes=[{"name": "workspace"}])
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == [
        "mine",
        "binaries-cache",
        "run-credentials",
        "workspace",
    ]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        *(
            ({section: {"volumeMounts": [CREDENTIALS]}}, f"pod.{section}.volumeMounts[0].name")
            for section in OUR_SECTIONS.values()
        ),
        *(
            ({place: [{"name": "a", "volumeMounts": [CREDENTIALS]}]}, f"pod.{place}[0].volumeMounts[0].name")
            for place in ("customInitContainers", "additionalSidecarContainers")
        ),
    ],
)
@pytest.mark.parametrize("native", [False, True])
def test_nobody_else_mounts_the_runs_credentials(settings: Object, field: str, *, native: bool) -> None:
    """Whoever reads them can act as the run; the message names the fix."""
    with pytest.raises(PodSettingsError, match="remove this mount") as caught:
        built(settings, native_sidecars=native)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ("initContainer", "/opt/spacelift/workspace"),
        ("initContainer", "/opt/spacelift/credentials/"),
        ("grpcServerContainer", "//opt/spacelift/./workspace"),
        ("workerContainer", "/mnt/workspace"),
        ("workerContainer", "/opt/spacelift/x/../binaries"),
    ],
)
def test_a_mount_in_the_place_of_ours_is_refused(section: str, path: str) -> None:
    """However the path is written: the API server compares only text, and the later mount hides the earlier one."""
    error = refusal({section: {"volumeMounts": [{"name": "mine", "mountPath": path}]}})
    assert error.field == f"pod.{section}.volumeMounts[0].mountPath"
    assert "choose another path" in error.message


def test_settings_nested_deeper_than_any_pod_are_refused() -> None:
    """Neither the builder nor the writer of the answer could follow them."""
    deep: Any = "x"
    for _ in range(DEEPEST + 1):
        deep = {"a": deep}
    assert refusal({"affinity": deep}).field == "pod.affinity"
    assert built(affinity=deep["a"])["spec"]["affinity"] == deep["a"]


def test_a_refusal_never_repeats_a_value() -> None:
    """It may be a secret that somebody put into the wrong field."""
    for settings in ({"launcherImage": ["s3cr3t"]}, {"volumes": [{"name": "s3cr3t"}, {"name": "s3cr3t"}]}):
        assert "s3cr3t" not in str(refusal(settings))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - any JSON value
    """Return the path of everything within `value`."""
    inner: list[tuple[Any, Any]] = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    return [path] * bool(path) + [found for key, item in inner for found in places(item, (*path, key))]


def replaced(path: tuple[Any, ...], value: object) -> Object:
    """Return the documented example with another value in one place."""
    settings = pool_settings("all-options")
    target: Any = settings
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return settings


@given(
    settings=st.dictionaries(st.sampled_from(sorted(ALL)) | st.text(), ANY_JSON, max_size=4)
    | st.builds(replaced, st.sampled_from(places(ALL)), ANY_JSON),
    native=st.booleans(),
)
def test_any_json_gives_a_pod_or_a_refusal(settings: Object, *, native: bool) -> None:
    """Never another error; and every Pod is JSON, named as its run demands, with our three containers."""
    pod = pod_or_refusal(settings, native=native)
    if isinstance(pod, PodSettingsError):
        assert pod.field.startswith("pod.")
        return
    json.dumps(pod)
    assert pod["metadata"]["name"] == built()["metadata"]["name"]
    assert set(OUR_SECTIONS) <= {name for names in container_names(pod) for name in names}


def pod_or_refusal(settings: Object, *, native: bool) -> Object | PodSettingsError:
    """Return what building comes to."""
    try:
        return built(settings, native_sidecars=native)
    except PodSettingsError as error:
        return error
