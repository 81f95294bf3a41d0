"""For every rule that refinements.yaml lays over Kubernetes' own types: a pool that breaks it, and one that doesn't."""

from __future__ import annotations

from typing import Any, Final

from tests.integration.crd_cases import Case, Json, custom_init, pod, sidecar, volume

_WORKER: Final = "spec.pod.workerContainer"
_IMAGE: Final = "give an image's name"


def worker(**fields: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Return a spec that sets fields of the worker container."""
    return pod(workerContainer=fields)


def volumes(**source: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Return a spec with one volume of these sources."""
    return pod(volumes=[{"name": "data", **source}])


def from_field(path: str) -> Json:
    """Return a spec with a variable from a field of the Pod."""
    return worker(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}}])


def resources(**amounts: Json) -> Json:
    """Return a spec with requests and limits of the worker container."""
    return worker(resources=amounts)


_EXEC: Final = {"exec": {"command": ["true"]}}
_KEY: Final = {"name": "a", "key": "b"}

UNIONS: Final = [
    Case("a volume comes from one source", "spec.pod.volumes[0]", volumes(emptyDir={}, secret={}), volumes()),
    Case(
        "a volume comes from one source",
        "spec.pod.workspaceVolume",
        pod(workspaceVolume={"emptyDir": {}, "hostPath": {"path": "/a"}}),
        pod(workspaceVolume={"emptyDir": {}, "hostPath": None}),
    ),
    Case(
        "a projected source comes from one place",
        "spec.pod.volumes[0].projected.sources[0]",
        volumes(projected={"sources": [{"secret": {"name": "a"}, "configMap": {"name": "a"}}]}),
        volumes(projected={"sources": [{"secret": {"name": "a"}}, {"configMap": {"name": "a"}}]}),
    ),
    *[
        Case(
            "give valueFrom exactly one source",
            f"{_WORKER}.env[0].valueFrom",
            worker(env=[{"name": "A", "valueFrom": bad}]),
            worker(env=[{"name": "A", "valueFrom": {"secretKeyRef": _KEY}}]),
        )
        for bad in ({}, {"secretKeyRef": _KEY, "configMapKeyRef": _KEY})
    ],
    *[
        Case(
            "exactly one of configMapRef and secretRef",
            f"{_WORKER}.envFrom[0]",
            worker(envFrom=[bad]),
            worker(envFrom=[{"prefix": "A_", "secretRef": {"name": "a"}}]),
        )
        for bad in ({}, {"prefix": "A_"}, {"secretRef": {"name": "a"}, "configMapRef": {"name": "a"}})
    ],
    *[
        Case(
            "give a probe exactly one",
            "spec.pod.additionalSidecarContainers[0].livenessProbe",
            sidecar(livenessProbe=bad),
            sidecar(livenessProbe={**_EXEC, "periodSeconds": 1}),
        )
        for bad in ({"periodSeconds": 1}, {**_EXEC, "tcpSocket": {"port": 1}})
    ],
    Case(
        "give a lifecycle hook exactly one",
        "spec.pod.additionalSidecarContainers[0].lifecycle.preStop",
        sidecar(lifecycle={"preStop": {}}),
        sidecar(lifecycle={"preStop": _EXEC}),
    ),
]
"""Rules about unions: what can come from several places comes from one."""

VALUES: Final = [
    *[
        Case(_IMAGE, f"spec.pod.{field}", pod(**{field: bad}), pod(**{field: good}))
        for field, bad, good in (
            ("defaultRunnerImage", "UPPER/Case", "registry.example.com:5000/team/image:Tag_1.2-x"),
            ("defaultRunnerImage", "image:tag:tag", f"image:1@sha256:{'a' * 64}"),
            ("defaultAnsibleRunnerImage", "a b", "[fd00::1]:5000/a__b/c--d.e"),
            ("launcherImage", "https://example.com/image", "example.com/image"),
        )
    ],
    Case(
        _IMAGE, "spec.pod.customInitContainers[0].image", custom_init(image="a//b"), custom_init(image="a/b")
    ),
    Case(
        "can't be read: choose another volume",
        f"{_WORKER}.env[0].valueFrom.fileKeyRef.volumeName",
        worker(
            env=[
                {
                    "name": "A",
                    "valueFrom": {"fileKeyRef": {"volumeName": "run-credentials", "path": "a", "key": "A"}},
                }
            ]
        ),
        pod(
            volumes=[volume("mine")],
            workerContainer={
                "env": [
                    {
                        "name": "A",
                        "valueFrom": {"fileKeyRef": {"volumeName": "mine", "path": "a", "key": "A"}},
                    }
                ]
            },
        ),
    ),
    Case(
        "there is no such resource",
        f"{_WORKER}.resources.limits",
        resources(limits={"memori": "1Gi"}),
        resources(limits={"memory": "1Gi", "hugepages-2Mi": "4Mi", "example.com/device": 1}),
    ),
    Case(
        "a resource of a device",
        f"{_WORKER}.resources",
        resources(requests={"nvidia.com/gpu": 1}),
        resources(requests={"cpu": 1, "nvidia.com/gpu": 1}, limits={"nvidia.com/gpu": 1}),
    ),
    Case(
        "user 0 is root",
        f"{_WORKER}.securityContext",
        worker(securityContext={"runAsUser": 0, "runAsNonRoot": True}),
        worker(securityContext={"runAsUser": 0, "runAsNonRoot": False}),
    ),
    Case(
        "user 0 is root",
        "spec.pod.securityContext",
        pod(securityContext={"runAsUser": 0, "runAsNonRoot": True}),
        pod(securityContext={"runAsUser": 0}),
    ),
    Case(
        "give every named port",
        "spec.pod.additionalSidecarContainers[0].ports",
        sidecar(ports=[{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}]),
        sidecar(ports=[{"name": "a", "containerPort": 1}, {"containerPort": 2}, {"containerPort": 3}]),
    ),
    *[
        Case(
            "can be 1 only",
            "spec.pod.additionalSidecarContainers[0]",
            sidecar(**{probe: {**_EXEC, "successThreshold": 2}}),
            sidecar(
                **{probe: {**_EXEC, "successThreshold": 1}}, readinessProbe={**_EXEC, "successThreshold": 2}
            ),
        )
        for probe in ("livenessProbe", "startupProbe")
    ],
    *[
        Case(
            "give absolute directories",
            "spec.pod.customBinariesPath",
            pod(customBinariesPath=bad),
            pod(customBinariesPath=good),
        )
        for bad, good in (
            ("bin", "/bin"),
            ("/a:", "/a:/b"),
            (":/a", ""),
            ("/a::/b", "/a b:/c.d/"),
            ("/a\n", "/opt/tools"),
        )
    ],
]
"""Rules about single values."""

CASES: Final = [*UNIONS, *VALUES]

SHAPES: Final = [
    *[
        (f"{_WORKER}.env[0].valueFrom.fieldRef.fieldPath", from_field(bad), from_field(good))
        for bad, good in (
            ("metadata.nam", "metadata.name"),
            ("spec.containers", "spec.nodeName"),
            ("metadata.labels[]", "metadata.labels['example.com/a']"),
        )
    ],
    (
        "spec.pod.securityContext.sysctls[1]",
        pod(securityContext={"sysctls": [{"name": "a.b", "value": "1"}, {"name": "a.b", "value": "2"}]}),
        pod(securityContext={"sysctls": [{"name": "a.b", "value": "1"}, {"name": "a.c", "value": "1"}]}),
    ),
    ("spec.poolSize", {"poolSize": 10_001}, {"poolSize": 10_000}),
    (
        "spec.pod.schedulerName",
        pod(schedulerName="A b"),
        pod(schedulerName="my-scheduler"),
    ),
    (
        "spec.pod.hostAliases[0].hostnames[0]",
        pod(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["A_b"]}]),
        pod(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a-b.example.com"]}]),
    ),
    (
        "spec.pod.volumes[0].emptyDir.sizeLimit",
        volumes(emptyDir={"sizeLimit": "-1"}),
        volumes(emptyDir={"sizeLimit": "1Gi"}),
    ),
    (
        "spec.pod.volumes[0].ephemeral.volumeClaimTemplate",
        volumes(ephemeral={}),
        volumes(
            ephemeral={
                "volumeClaimTemplate": {
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
                }
            }
        ),
    ),
]
"""Path, bad spec, good spec: what bounds and required fields refuse by themselves."""
