"""For every rule of the WorkerPool's CRD: a pool that breaks it, and the nearest one that doesn't."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """Two specs that differ in what one rule is about."""

    says: str
    """A part of the rule's message."""
    path: str
    """Field that the refusal names."""
    bad: Json
    good: Json

    def __str__(self) -> str:
        return f"{self.path}: {self.says}"


def pod(**fields: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Return a spec that sets fields of the run Pod."""
    return {"pod": fields}


def container(name: str = "one", **fields: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Return a container of the user's."""
    return {"name": name, "image": "example.com/image:1", **fields}


def sidecar(**fields: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Return a spec with one sidecar."""
    return pod(additionalSidecarContainers=[container(**fields)])


def custom_init(**fields: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Return a spec with one init container of the user's."""
    return pod(customInitContainers=[container(**fields)])


def volume(name: str) -> Json:
    """Return a volume."""
    return {"name": name, "emptyDir": {}}


def mount(name: str = "data", path: str = "/mnt/data", **fields: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Return a mount."""
    return {"name": name, "mountPath": path, **fields}


def mounting(section: str, *mounts: Json) -> Json:
    """Return a spec with the volume `data` that one of our three containers mounts."""
    return pod(volumes=[volume("data")], **{section: {"volumeMounts": list(mounts)}})


def secret(name: str = "pool", key: str = "token") -> Json:
    """Return a reference to a key of a Secret."""
    return {"secretKeyRef": {"name": name, "key": key}}


def affinity(**expression: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Return a spec with one expression about a node's labels."""
    terms = [{"matchExpressions": [{"key": "zone", **expression}]}]
    return pod(
        affinity={
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        }
    )


def spread(**fields: Any) -> Json:  # noqa: ANN401 - any JSON value
    """Return a spec with one topology spread constraint."""
    base = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    return pod(topologySpreadConstraints=[{**base, **fields}])


OWN: Final = {"token": secret(), "privateKey": secret(key="privateKey")}
"""Credentials of a pool that doesn't register itself."""

_EXPRESSIONS: Final = (
    "spec.pod.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    ".nodeSelectorTerms[0].matchExpressions[0]"
)
_KEY_HELP: Final = "a key is a name of at most 63 letters"
_VALUE_HELP: Final = "a value is at most 63 letters"
_OWN_PATHS: Final = "this path would hide what the operator mounts into"
_SUBDOMAIN: Final = "use lower-case letters, digits, '-' and '.'"
_LABEL: Final = "use lower-case letters, digits and '-'"
_TTL: Final = "give a duration above 0"
_HOST: Final = "give a registry's host"

POOL: Final = [
    Case("give token and privateKey both", "spec", {"token": secret()}, OWN),
    Case("give token and privateKey both", "spec", {"token": None, "privateKey": secret()}, {"token": None}),
    Case(
        "spaceliftAPICredentials is for pools that register themselves",
        "spec",
        {**OWN, "spaceliftAPICredentials": {"secretKeyRef": {"name": "api"}}},
        {"spaceliftAPICredentials": {"secretKeyRef": {"name": "api"}}},
    ),
    Case(
        "keepSuccessfulPods true contradicts",
        "spec",
        {"keepSuccessfulPods": True, "successfulPodsHistoryLimit": 0},
        {"keepSuccessfulPods": True, "successfulPodsHistoryLimit": 1},
    ),
    Case(
        "give disabled, maxRuns, or leave",
        "spec.driftDetectionRunLimits",
        {"driftDetectionRunLimits": {}},
        {"driftDetectionRunLimits": {"maxRuns": 0}},
    ),
    Case(
        "maxRuns means nothing while disabled",
        "spec.driftDetectionRunLimits",
        {"driftDetectionRunLimits": {"disabled": True, "maxRuns": 1}},
        {"driftDetectionRunLimits": {"disabled": False, "maxRuns": 1}},
    ),
    *[
        Case(_TTL, f"spec.{field}", {field: bad}, {field: good})
        for field in ("successfulPodsHistoryTTL", "failedPodsHistoryTTL")
        for bad, good in (("0s", "1ms"), ("-1h", "1h30m"), ("1d", "24h"), ("s", ""), ("10", "1.5h"))
    ],
    *[
        Case(
            _HOST,
            "spec.allowedRunnerImageHosts[0]",
            {"allowedRunnerImageHosts": [bad]},
            {"allowedRunnerImageHosts": [good]},
        )
        for bad, good in (
            ("https://docker.io", "docker.io"),
            ("docker.io/library", "localhost"),
            ("registry:port", "registry.example.com:5000"),
            ("", "[fd00::1]:5000"),
        )
    ],
]
"""Rules about the pool itself."""

NAMES: Final = [
    Case(
        _SUBDOMAIN,
        "spec.pod.serviceAccountName",
        pod(serviceAccountName="My_Account"),
        pod(serviceAccountName=""),
    ),
    Case(_SUBDOMAIN, "spec.pod.nodeName", pod(nodeName="node one"), pod(nodeName="node-1.example.com")),
    Case(
        _SUBDOMAIN,
        "spec.pod.runtimeClassName",
        pod(runtimeClassName="-gvisor"),
        pod(runtimeClassName="gvisor"),
    ),
    Case(
        _LABEL, "spec.pod.volumes[0].name", pod(volumes=[volume("My.Data")]), pod(volumes=[volume("my-data")])
    ),
    Case(
        _LABEL, "spec.pod.additionalSidecarContainers[0].name", sidecar(name="my_db"), sidecar(name="my-db")
    ),
    Case(
        "customInitContainers and additionalSidecarContainers share one Pod",
        "spec.pod",
        pod(customInitContainers=[container("db")], additionalSidecarContainers=[container("db")]),
        pod(customInitContainers=[container("make-db")], additionalSidecarContainers=[container("db")]),
    ),
    *[
        Case(
            "every run Pod has containers",
            f"spec.pod.{field}[0].name",
            pod(**{field: [container(name)]}),
            pod(**{field: [container(f"my-{name}")]}),
        )
        for field in ("customInitContainers", "additionalSidecarContainers")
        for name in ("init", "launcher-grpc", "worker")
    ],
    Case(
        "run-credentials is the volume of the run's own credentials",
        "spec.pod.volumes[0].name",
        pod(volumes=[volume("run-credentials")]),
        pod(volumes=[volume("credentials")]),
    ),
    Case(
        "run-credentials is the volume of the run's own credentials",
        "spec.pod.workspaceVolume.name",
        pod(workspaceVolume=volume("run-credentials")),
        pod(workspaceVolume={"emptyDir": {}}),
    ),
    Case(
        "a volume has the name of the workspace",
        "spec.pod",
        pod(volumes=[volume("workspace")]),
        pod(volumes=[volume("workspace")], workspaceVolume=volume("sources")),
    ),
    Case(
        "a volume has the name of the workspace",
        "spec.pod",
        pod(volumes=[volume("tools")], binariesCacheVolume=volume("tools")),
        pod(volumes=[volume("tools")], binariesCacheVolume={"name": "", "emptyDir": {}}),
    ),
    Case(
        "workspaceVolume and binariesCacheVolume have the same name",
        "spec.pod",
        pod(workspaceVolume=volume("binaries-cache")),
        pod(workspaceVolume=volume("binaries-cache"), binariesCacheVolume=volume("workspace")),
    ),
]
"""Rules about names of objects, containers and volumes."""

MOUNTS: Final = [
    *[
        Case(
            f"{section} may mount only volumes",
            "spec.pod",
            mounting(section, mount("other")),
            mounting(section, mount(), mount("workspace", "/mnt/w"), mount("binaries-cache", "/mnt/b")),
        )
        for section in ("initContainer", "grpcServerContainer", "workerContainer")
    ],
    *[
        Case(
            f"{field} may mount only volumes",
            "spec.pod",
            pod(**{field: [container(volumeMounts=[mount("workspace")])]}, workspaceVolume=volume("mine")),
            pod(**{field: [container(volumeMounts=[mount("mine")])]}, workspaceVolume=volume("mine")),
        )
        for field in ("customInitContainers", "additionalSidecarContainers")
    ],
    *[
        Case(
            "holds the run's own credentials and can't be mounted",
            f"spec.pod.{field}.volumeMounts[0].name",
            pod(**bad),
            mounting("workerContainer", mount()),
        )
        for field, bad in (
            ("workerContainer", {"workerContainer": {"volumeMounts": [mount("run-credentials")]}}),
            (
                "customInitContainers[0]",
                {"customInitContainers": [container(volumeMounts=[mount("run-credentials")])]},
            ),
            (
                "additionalSidecarContainers[0]",
                {"additionalSidecarContainers": [container(volumeMounts=[mount("run-credentials")])]},
            ),
        )
    ],
    *[
        Case(
            "give an absolute path",
            "spec.pod.workerContainer.volumeMounts[0].mountPath",
            mounting("workerContainer", mount(path=bad)),
            mounting("workerContainer", mount(path=good)),
        )
        for bad, good in (
            ("mnt", "/mnt/data"),
            ("/a/../b", "/a/..b"),
            ("/a/./b", "/a/.b"),
            ("/a//b", "/a/...b/"),
            ("/a:b", "/a b"),
            ("/", "/a"),
        )
    ],
    *[
        Case(
            f"{_OWN_PATHS} {name}",
            f"spec.pod.{section}.volumeMounts[0].mountPath",
            mounting(section, mount(path=bad)),
            mounting(section, mount(path=good)),
        )
        for section, name, bad, good in (
            ("initContainer", "init", "/opt/spacelift", "/opt/spacelift/policies"),
            ("initContainer", "init", "/opt/spacelift/workspace/", "/opt/spacelift/workspace/extra"),
            ("initContainer", "init", "/opt/spacelift/binaries_cache", "/opt/spacelift/binaries_cache2"),
            ("initContainer", "init", "/opt/spacelift/credentials/more", "/opt/spacelift/credentials-more"),
            ("initContainer", "init", "/opt/spacelift/workspace/socket", "/opt/spacelift/workspace/sockets"),
            (
                "initContainer",
                "init",
                "/opt/spacelift/workspace/project/x",
                "/opt/spacelift/workspace/projects",
            ),
            ("grpcServerContainer", "launcher-grpc", "/opt", "/opt/spacelift/binaries_cache"),
            (
                "grpcServerContainer",
                "launcher-grpc",
                "/opt/spacelift/workspace/binaries/x",
                "/opt/spacelift/workspace/x",
            ),
            ("workerContainer", "worker", "/mnt", "/mnt/data"),
            ("workerContainer", "worker", "/mnt/workspace", "/mnt/workspace/cache"),
            ("workerContainer", "worker", "/var/spacelift/socket/x", "/var/spacelift/x"),
            ("workerContainer", "worker", "/opt/spacelift/binaries", "/opt/spacelift/binaries_cache"),
        )
    ],
    Case(
        "give either subPath or subPathExpr",
        "spec.pod.workerContainer.volumeMounts[0]",
        mounting("workerContainer", mount(subPath="a", subPathExpr="$(A)")),
        mounting("workerContainer", mount(subPath="a", subPathExpr="")),
    ),
    *[
        Case(
            "give a path inside of the volume",
            f"spec.pod.workerContainer.volumeMounts[0].{field}",
            mounting("workerContainer", mount(**{field: bad})),
            mounting("workerContainer", mount(**{field: "a/..b"})),
        )
        for field in ("subPath", "subPathExpr")
        for bad in ("/a", "a/../b")
    ],
]
"""Rules about what is mounted where."""

CONTAINERS: Final = [
    *[
        Case(
            "the operator sets this variable itself",
            f"spec.pod.{section}.env[0].name",
            pod(**{section: {"env": [{"name": "SPACELIFT_RUN_ID", "value": "x"}]}}),
            pod(**{section: {"env": [{"name": "SPACELIFT_DEBUG", "value": "x"}]}}),
        )
        for section in ("initContainer", "grpcServerContainer", "workerContainer")
    ],
    Case(
        "give either value or valueFrom",
        "spec.pod.workerContainer.env[0]",
        pod(workerContainer={"env": [{"name": "A", "value": "x", "valueFrom": secret()}]}),
        pod(workerContainer={"env": [{"name": "A", "value": None, "valueFrom": secret()}]}),
    ),
    Case(
        "leave claims empty",
        "spec.pod.workerContainer.resources.claims",
        pod(workerContainer={"resources": {"claims": [{"name": "gpu"}]}}),
        pod(workerContainer={"resources": {"claims": []}}),
    ),
    Case(
        "a privileged container can't have",
        "spec.pod.workerContainer.securityContext",
        pod(workerContainer={"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}}),
        pod(workerContainer={"securityContext": {"privileged": True}}),
    ),
    Case(
        "give localhostProfile with the type Localhost",
        "spec.pod.securityContext.seccompProfile",
        pod(securityContext={"seccompProfile": {"type": "Localhost"}}),
        pod(securityContext={"seccompProfile": {"type": "Localhost", "localhostProfile": "a.json"}}),
    ),
    Case(
        "an init container that ends can have neither",
        "spec.pod.customInitContainers[0]",
        custom_init(livenessProbe={"exec": {"command": ["true"]}}),
        custom_init(livenessProbe={"exec": {"command": ["true"]}}, restartPolicy="Always"),
    ),
]
"""Rules about single containers."""

SCHEDULING: Final = [
    *[
        Case(_KEY_HELP, f"spec.pod.{field}", pod(**{field: {bad: "x"}}), pod(**{field: {good: "x"}}))
        for field in ("labels", "annotations", "nodeSelector")
        for bad, good in (
            ("", "a"),
            ("a/b/c", "example.com/b"),
            ("-a", "A_b.c"),
            (f"{'a' * 254}/b", f"{'a' * 63}.example.com/b"),
            ("a" * 64, "a" * 63),
        )
    ],
    *[
        Case(
            _VALUE_HELP, f"spec.pod.{field}[a]", pod(**{field: {"a": "no blanks"}}), pod(**{field: {"a": ""}})
        )
        for field in ("labels", "nodeSelector")
    ],
    *[
        Case(
            f"{field} that begin with workers.spacelift.io/",
            f"spec.pod.{field}",
            pod(**{field: {"workers.spacelift.io/run-id": "x"}}),
            pod(**{field: {"example.com/run-id": "x"}}),
        )
        for field in ("labels", "annotations")
    ],
    Case(
        "dnsPolicy None needs dnsConfig",
        "spec.pod",
        pod(dnsPolicy="None", dnsConfig={"nameservers": []}),
        pod(dnsPolicy="None", dnsConfig={"nameservers": ["10.0.0.1"]}),
    ),
    Case(
        "an empty key tolerates every taint",
        "spec.pod.tolerations[0]",
        pod(tolerations=[{"key": "", "operator": "Equal"}]),
        pod(tolerations=[{"key": "", "operator": "Exists", "effect": ""}]),
    ),
    Case(
        "the operator Exists asks for no value",
        "spec.pod.tolerations[0]",
        pod(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
        pod(tolerations=[{"key": "a", "operator": "Exists", "value": ""}]),
    ),
    Case(
        "tolerationSeconds needs the effect NoExecute",
        "spec.pod.tolerations[0]",
        pod(tolerations=[{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 1}]),
        pod(tolerations=[{"key": "a", "effect": "NoExecute", "tolerationSeconds": 1}]),
    ),
    Case(
        "minDomains needs whenUnsatisfiable DoNotSchedule",
        "spec.pod.topologySpreadConstraints[0]",
        spread(minDomains=1),
        spread(minDomains=1, whenUnsatisfiable="DoNotSchedule"),
    ),
    Case(
        "In and NotIn need values",
        _EXPRESSIONS,
        affinity(operator="In"),
        affinity(operator="In", values=["a"]),
    ),
    Case(
        "Exists and DoesNotExist take no values",
        _EXPRESSIONS,
        affinity(operator="Exists", values=["a"]),
        affinity(operator="Exists", values=[]),
    ),
    Case(
        "Gt and Lt need exactly one",
        _EXPRESSIONS,
        affinity(operator="Gt", values=["1", "2"]),
        affinity(operator="Gt", values=["1"]),
    ),
]
"""Rules about where and under what name the Pod runs."""

CASES: Final = [*POOL, *NAMES, *MOUNTS, *CONTAINERS, *SCHEDULING]

SHAPES: Final = [
    ("spec.poolSize", {"poolSize": -1}, {"poolSize": None}),
    ("spec.token.secretKeyRef.key", {**OWN, "token": {"secretKeyRef": {"name": "a"}}}, OWN),
    ("spec.pod.activeDeadlineSeconds", pod(activeDeadlineSeconds=0), pod(activeDeadlineSeconds=1)),
    (
        "spec.pod.terminationGracePeriodSeconds",
        pod(terminationGracePeriodSeconds=-1),
        pod(terminationGracePeriodSeconds=0),
    ),
    ("spec.pod.dnsPolicy", pod(dnsPolicy="Never"), pod(dnsPolicy="")),
    (
        "spec.pod.dnsConfig.nameservers[0]",
        pod(dnsConfig={"nameservers": ["dns"]}),
        pod(dnsConfig={"nameservers": ["fd00::1"]}),
    ),
    (
        "spec.pod.hostAliases[0].ip",
        pod(hostAliases=[{"ip": "one"}]),
        pod(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["one"]}]),
    ),
    ("spec.pod.launcherImage", pod(launcherImage=" a"), pod(launcherImage="")),
    (
        "spec.pod.volumes[0].name",
        pod(volumes=[{"name": "", "emptyDir": {}}]),
        pod(binariesCacheVolume={"emptyDir": {"sizeLimit": "1Gi"}}),
    ),
    ("spec.pod.customInitContainers[0].image", pod(customInitContainers=[{"name": "a"}]), custom_init()),
    ("spec.pod.additionalSidecarContainers[0].image", sidecar(image=""), sidecar()),
    (
        "spec.pod.additionalSidecarContainers[0].restartPolicy",
        sidecar(restartPolicy="Never"),
        sidecar(restartPolicy="Always"),
    ),
    (
        "spec.pod.customInitContainers[0].restartPolicy",
        custom_init(restartPolicy="OnFailure"),
        custom_init(restartPolicy="Always"),
    ),
    (
        "spec.pod.customInitContainers[0].restartPolicy",
        custom_init(restartPolicy="Never"),
        custom_init(restartPolicy=""),
    ),
    (
        "spec.pod.additionalSidecarContainers[1]",
        pod(additionalSidecarContainers=[container(), container()]),
        pod(additionalSidecarContainers=[container("a"), container("b")]),
    ),
    (
        "spec.pod.additionalSidecarContainers[0].ports[0].containerPort",
        sidecar(ports=[{"containerPort": 0}]),
        sidecar(ports=[{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]),
    ),
    (
        "spec.pod.workerContainer.imagePullPolicy",
        pod(workerContainer={"imagePullPolicy": "always"}),
        pod(workerContainer={"imagePullPolicy": ""}),
    ),
    (
        "spec.pod.workerContainer.env[0].name",
        pod(workerContainer={"env": [{"name": "A=B"}]}),
        pod(workerContainer={"env": [{"name": "my.var"}]}),
    ),
    (
        "spec.pod.workerContainer.resources.limits.cpu",
        pod(workerContainer={"resources": {"limits": {"cpu": "-1"}}}),
        pod(workerContainer={"resources": {"limits": {"cpu": 1, "memory": "1.5Gi"}}}),
    ),
    (
        "spec.pod.workerContainer.resources.limits.memory",
        pod(workerContainer={"resources": {"limits": {"memory": "1GB"}}}),
        pod(workerContainer={"resources": {"limits": {"memory": "1e9"}}}),
    ),
    (
        "spec.pod.tolerations[0].effect",
        pod(tolerations=[{"key": "a", "effect": "Never"}]),
        pod(tolerations=[{"key": "a", "effect": None}]),
    ),
]
"""Path, bad spec, good spec: what types, enums and bounds refuse by themselves."""

_UNSET: Final = {
    "envFrom": [],
    "env": [],
    "volumeMounts": [],
    "resources": {"requests": None, "limits": None, "claims": []},
    "securityContext": {},
}

ALL_OPTIONS: Final = {
    "poolSize": 2,
    **OWN,
    "allowedRunnerImageHosts": ["docker.io", "some.private.registry"],
    "keepSuccessfulPods": False,
    "pod": {
        "activeDeadlineSeconds": 4200,
        "terminationGracePeriodSeconds": 30,
        "volumes": [],
        "binariesCacheVolume": None,
        "workspaceVolume": None,
        "serviceAccountName": "custom-service-account",
        "automountServiceAccountToken": True,
        "securityContext": {},
        "imagePullSecrets": [],
        "nodeSelector": {},
        "nodeName": "",
        "affinity": {},
        "schedulerName": "",
        "tolerations": [],
        "hostAliases": [],
        "dnsConfig": {},
        "runtimeClassName": "",
        "topologySpreadConstraints": [],
        "labels": {},
        "annotations": {},
        "customBinariesPath": "",
        "customInitContainers": [],
        "launcherImage": "",
        "initContainer": _UNSET,
        "grpcServerContainer": _UNSET,
        "workerContainer": _UNSET,
        "additionalSidecarContainers": [{"name": "redis", "image": "redis"}],
    },
}
"""The documents' example of all options, value for value: ``requests:`` with comments alone below it is a null."""
