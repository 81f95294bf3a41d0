"""Every name that the operator shares with the Kubernetes API: one documented constant each, and no code.

Hooks, agent, tests and the local cluster read the names from here, so that a label or a reason is spelled once.
"""

from __future__ import annotations

from typing import Final

# --- The API ---------------------------------------------------------------------------------------------------

GROUP: Final = "workers.spacelift.io"
"""API group of the custom resources and prefix of every label, annotation and finalizer."""

VERSION: Final = "v1beta1"
"""The stored version, and the one that the operator speaks; WorkerPool is also served as v1alpha1."""

API_VERSION: Final = "workers.spacelift.io/v1beta1"
"""``apiVersion`` of pools and workers."""

WORKER_POOL_KIND: Final = "WorkerPool"
"""A number of workers that the user wants."""

WORKER_POOL_PLURAL: Final = "workerpools"
"""Resource name of WorkerPool."""

WORKER_KIND: Final = "Worker"
"""One virtual worker; costs nothing while it is idle."""

WORKER_PLURAL: Final = "workers"
"""Resource name of Worker."""

POD_KIND: Final = "Pod"
"""Kind of a run Pod."""

SETTINGS_API_VERSION: Final = "apps/v1"
"""``apiVersion`` of the revisions that freeze a pool's Pod settings."""

SETTINGS_KIND: Final = "ControllerRevision"
"""Kind of the revisions that freeze a pool's Pod settings."""

SETTINGS_RESOURCE: Final = "controllerrevisions"
"""Resource name of those revisions."""

CONTROLLER_REVISION_GROUP: Final = "ControllerRevision.apps/v1"
"""How Metacontroller names their kind in a hook's request."""

WORKER_GROUP: Final = "Worker.workers.spacelift.io/v1beta1"
"""How Metacontroller names Workers in a hook's request."""

POD_GROUP: Final = "Pod.v1"
"""How Metacontroller names Pods in a hook's request."""

# --- Labels ----------------------------------------------------------------------------------------------------

ULID_LABEL: Final = "workers.spacelift.io/ulid"
"""On a pool: the pool's ULID at the mothership, written by the agent. On a Worker: its own ULID, upper-case."""

POOL_LABEL: Final = "workers.spacelift.io/workerpool"
"""On Workers, run Pods, run Secrets and settings revisions: the ULID of their pool."""

RUN_LABEL: Final = "workers.spacelift.io/run-id"
"""On run Pods and run Secrets: the run's ULID."""

WORKER_LABEL: Final = "workers.spacelift.io/worker"
"""On run Pods and run Secrets: the ULID of the Worker that the run was assigned to."""

STAGE_LABEL: Final = "workers.spacelift.io/stage"
"""On run Pods: the stage of the run, for example ``preparing``."""

SEQUENCE_LABEL: Final = "workers.spacelift.io/sequence"
"""On run Pods and run Secrets: position of the stage in the run's history, the fencing token of an attempt."""

ASSIGNMENT_LABEL: Final = "workers.spacelift.io/assignment"
"""On run Pods: the number of the assignment of the Worker that this Pod serves."""

OWNER_LABEL: Final = "controller-uid"
"""On Workers, put there by Metacontroller: UID of the WorkerPool object that they were made for."""

REPLICA_LABEL: Final = "workers.spacelift.io/replica"
"""On Leases: ``true`` says that the Lease is that of a replica of the operator."""

NOT_USED_LABEL: Final = "workers.spacelift.io/not-used"
"""In a pool's scale selector only: no Pod carries it, so that HPA never finds two pools' Pods ambiguous."""

# --- Annotations -----------------------------------------------------------------------------------------------

POOL_NAME_ANNOTATION: Final = "workers.spacelift.io/workerpool-name"
"""On Workers and run Pods: the name of their WorkerPool, for the printer column and for people."""

CONNECTION_ANNOTATION: Final = "workers.spacelift.io/connection"
"""On a pool: JSON {state, reason, message, time} from the agent; the hook copies it into the conditions."""

CYCLE_ANNOTATION: Final = "workers.spacelift.io/cycle"
"""On a pool: JSON {id, sequence} from the agent: Workers with a number up to this one are to be replaced."""

REPLICA_FIT_ANNOTATION: Final = "workers.spacelift.io/fit"
"""On a replica's Lease: ``false`` while the replica can't work on pools, for example because of the CRDs' revision."""

REPLICA_LEASE_PREFIX: Final = "workerpool-replica-"
"""In front of the replica's name: the name of its Lease in the operator's namespace."""

SCHEMA_REVISION_ANNOTATION: Final = "workers.spacelift.io/schema-revision"
"""On the CRDs: the revision of their schemas. The agent claims nothing when the ledger would be pruned."""

SCHEMA_REVISION: Final = "2"
"""The schema revision that this operator was written for."""

# --- Finalizers and controllers --------------------------------------------------------------------------------

VERDICT_FINALIZER: Final = "workers.spacelift.io/verdict"
"""On run Pods: set by the hook at creation, removed by the agent once the verdict is stored."""

POOL_CONTROLLER: Final = "workerpool"
"""Name of the CompositeController: WorkerPool -> Workers."""

WORKER_CONTROLLER: Final = "worker"
"""Name of the DecoratorController: Worker -> run Pods."""

POOL_FINALIZER: Final = "metacontroller.io/compositecontroller-workerpool"
"""Metacontroller's finalizer on pools."""

WORKER_FINALIZER: Final = "metacontroller.io/decoratorcontroller-worker"
"""Metacontroller's finalizer on Workers: the agent registers a Worker only once this is there."""

FOREGROUND_FINALIZER: Final = "foregroundDeletion"
"""The garbage collector's finalizer of ``kubectl delete --cascade=foreground``."""

# --- Conditions ------------------------------------------------------------------------------------------------

READY_CONDITION: Final = "Ready"
"""Of a pool: its connection to the mothership stands. Of a Worker: it takes runs, or carries one out."""

CREDENTIALS_CONDITION: Final = "CredentialsValid"
"""Of a pool: token and private key can be used."""

LAST_RUN_CONDITION: Final = "LastRunSucceeded"
"""Of a Worker: how the last run with a verdict ended. Absent before the first."""

CONNECTION_READY: Final = "Ready"
"""``state`` of the connection annotation that makes the condition Ready true."""

CONNECTION_CONNECTING: Final = "Connecting"
"""``state``: the credentials are good, the session does not stand yet."""

CONNECTION_CREDENTIALS_INVALID: Final = "CredentialsInvalid"
"""``state``: token or private key are missing, malformed or expired."""

CONNECTION_UNREGISTERED: Final = "CannotRegister"
"""``state``: no connection came about in as many tries as the pool allows; more follow."""

AUTO_REGISTRATION_REASON: Final = "AutoRegistrationUnavailable"
"""Reason: the pool names neither token nor private key, and this operator can't register pools by itself."""

CONNECTING_REASON: Final = "Connecting"
"""Reason: the credentials are good, the first connection is being made."""

CONNECTION_PENDING_REASON: Final = "ConnectionPending"
"""Reason of the condition while the agent hasn't said anything about the pool yet."""

WORKER_PENDING_REASON: Final = "RegistrationPending"
"""Reason of a Worker's Ready: the mothership doesn't know it yet."""

WORKER_REGISTERED_REASON: Final = "Registered"
"""Reason of a Worker's Ready: the mothership gives it runs."""

WORKER_DRAINED_REASON: Final = "Drained"
"""Reason of a Worker's Ready: it takes no more runs, by the mothership's or the pool's wish."""

WORKER_DEREGISTERING_REASON: Final = "Deregistering"
"""Reason of a Worker's Ready: it is going away, the mothership is being told."""

WORKER_GONE_REASON: Final = "Deregistered"
"""Reason of a Worker's Ready: the mothership has forgotten it."""

CONDITION_TRUE: Final = "True"
"""Status of a condition that holds."""

CONDITION_FALSE: Final = "False"
"""Status of a condition that doesn't hold."""

CONDITION_UNKNOWN: Final = "Unknown"
"""Status of a condition that nobody has judged."""

# --- Events ----------------------------------------------------------------------------------------------------

EVENT_SOURCE: Final = "workerpool-controller"
"""Source component of every Event, as users of the field know it."""

EVENT_NORMAL: Final = "Normal"
"""Type of an Event about the expected."""

EVENT_WARNING: Final = "Warning"
"""Type of an Event about a fault."""

CANNOT_REGISTER_EVENT: Final = "WorkerPoolCannotRegister"
"""Warning on a pool: its credentials can't be used."""

REGISTERED_EVENT: Final = "WorkerPoolRegistered"
"""Normal, on a pool: credentials are good and the session stands."""

CONNECTION_LOST_EVENT: Final = "WorkerPoolConnectionLost"
"""Warning on a pool: the session with the mothership broke."""

SCHEMA_TOO_OLD_EVENT: Final = "SchemaRevisionMismatch"
"""Warning on a pool: the CRDs of this cluster would prune the ledger, so nothing is claimed."""

NOT_SERVED_EVENT: Final = "NamespaceNotServed"
"""Warning on a pool, and reason of its conditions: the operator has no rights in its namespace, or doesn't serve it."""

DEREGISTRATION_UNCONFIRMED_EVENT: Final = "DeregistrationUnconfirmed"
"""Warning on a Worker: it was let go although the mothership couldn't be told in time."""

DELETION_WAITS_EVENT: Final = "DeletionWaits"
"""Normal, on a deleted pool or Worker: what it waits for before it goes."""

ORPHANED_EVENT: Final = "WorkerOrphaned"
"""Warning on a Worker, and on a new pool of its old pool's name: its pool object is gone, it takes no more runs."""

SETTING_IGNORED_EVENT: Final = "SettingIgnored"
"""Warning on a pool: a field of its spec has no effect on this pool."""

PUBLISH_REFUSED_EVENT: Final = "PublishRefused"
"""Warning on a pool: the broker doesn't let it publish to a topic of its own."""
CYCLE_EVENT: Final = "WorkersCycling"
"""Normal, on a pool: the mothership wants every Worker replaced by a new one."""

WORKER_DRAINING_EVENT: Final = "WorkerDraining"
"""Normal, on a Worker: it takes no more runs."""

WORKER_UNDRAINED_EVENT: Final = "WorkerUndrained"
"""Normal, on a Worker: it takes runs again."""

RUN_STARTED_EVENT: Final = "RunStarted"
"""Normal, on a Worker: the run's worker container runs."""

RUN_FAILED_EVENT: Final = "RunFailed"
"""Warning on a Worker: its run failed or was lost, with the reason."""

RUN_RELEASED_EVENT: Final = "RunReleased"
"""Normal, on a Worker: the mothership stored the result, the worker is free."""

RUN_SCHEDULED_EVENT: Final = "RunScheduled"
"""Normal, on a Worker: a run was claimed for it."""

RUN_NOT_RECORDED_EVENT: Final = "RunNotRecorded"
"""Warning on a Worker: a scheduled run can't be recorded yet; it is tried again."""

RUN_REJECTED_EVENT: Final = "RunRejected"
"""Warning on a Worker: a scheduled run was refused, with the reason."""

RUN_FINISHED_EVENT: Final = "RunFinished"
"""Normal, on a Worker: its run succeeded, was stopped or was canceled."""

POD_REFUSED_EVENT: Final = "RunPodRefused"
"""Warning on a Worker: the API server doesn't admit the run Pod, with the API's own text."""

# --- Worker.status ---------------------------------------------------------------------------------------------

REGISTRATION_PENDING: Final = "Pending"
"""The Worker exists; the mothership doesn't know it yet."""

REGISTRATION_REGISTERED: Final = "Registered"
"""The mothership may give it runs."""

REGISTRATION_DEREGISTERING: Final = "Deregistering"
"""It takes no more runs; the mothership is being told."""

REGISTRATION_GONE: Final = "Gone"
"""The mothership has forgotten it: the finalize hook may let the object go."""

STATE_IDLE: Final = "IDLE"
"""It waits for a run."""

STATE_BUSY: Final = "BUSY"
"""A run is in flight, from the claim on until the mothership released it."""

STATE_DRAINED: Final = "DRAINED"
"""It is idle and gets nothing new."""

PHASE_SCHEDULED: Final = "Scheduled"
"""The claim is recorded; the hook asks for the run Pod. The only phase in which one is created."""

PHASE_STARTING: Final = "Starting"
"""The Pod was seen and its UID recorded. From here on a missing Pod is a verdict, not a wish."""

PHASE_RUNNING: Final = "Running"
"""The worker container has run."""

PHASE_FINISHED: Final = "Finished"
"""The attempt has an outcome; the worker stays BUSY until the mothership released it."""

# --- The run Pod -----------------------------------------------------------------------------------------------

INIT_CONTAINER: Final = "init"
"""Init container that claims the start and prepares the workspace."""

GRPC_CONTAINER: Final = "launcher-grpc"
"""Container that streams logs, renews the lease and carries the stop signal."""

WORKER_CONTAINER: Final = "worker"
"""Container of the runner image; its end is the end of the run."""

WORKSPACE_VOLUME: Final = "workspace"
"""Volume of the run's sources, shared by the containers of one Pod."""

BINARIES_CACHE_VOLUME: Final = "binaries-cache"
"""Volume of downloaded tools, which Pods may share."""

CREDENTIALS_VOLUME: Final = "run-credentials"
"""Volume of the run Secret; the worker container never sees it."""

WORKSPACE_PATH: Final = "/opt/spacelift/workspace"
"""Where init and launcher-grpc mount the workspace."""

BINARIES_CACHE_PATH: Final = "/opt/spacelift/binaries_cache"
"""Where init mounts the binaries cache."""

CREDENTIALS_PATH: Final = "/opt/spacelift/credentials"
"""Where init and launcher-grpc mount the run Secret."""

WORKER_WORKSPACE_PATH: Final = "/mnt/workspace"
"""Where the worker container sees the project (subPath ``project`` of the workspace)."""

SOCKET_PATH: Final = "/var/spacelift/socket"
"""Where the worker container meets launcher-grpc (subPath ``socket`` of the workspace)."""

BINARIES_PATH: Final = "/opt/spacelift/binaries"
"""Where the worker container finds the executor and tools (subPath ``binaries``, read-only)."""

PROJECT_SUBPATH: Final = "project"
"""Folder of the workspace volume that holds the checked-out project."""

SOCKET_SUBPATH: Final = "socket"
"""Folder of the workspace volume that holds launcher-grpc's socket."""

BINARIES_SUBPATH: Final = "binaries"
"""Folder of the workspace volume that holds what init installed for the worker container."""

LAUNCHER_COMMAND: Final = "/usr/bin/spacelift-launcher"
"""Entry point of the launcher image."""

EXECUTOR_COMMAND: Final = "/opt/spacelift/binaries/spacelift-worker"
"""The executor that init put in place for the worker container."""

RESERVED_PREFIX: Final = "workers.spacelift.io/"
"""Prefix of labels and annotations that only the operator may set on a run Pod."""

RESERVED_CONTAINERS: Final = (INIT_CONTAINER, GRPC_CONTAINER, WORKER_CONTAINER)
"""Names that containers of the user can't have."""

RESERVED_VARIABLES: Final = (
    "SPACELIFT_RUN_ID",
    "SPACELIFT_RUN_STAGE",
    "SPACELIFT_RUN_SEQUENCE",
    "SPACELIFT_POD_UID",
    "SPACELIFT_POD_NAME",
    "SPACELIFT_WORKER_ID",
    "SPACELIFT_WORKER_POOL_ID",
    "SPACELIFT_CREDENTIALS_DIR",
    "SPACELIFT_CUSTOM_BINARIES_PATH",
)
"""Variables that the operator sets in its own containers; the user's ``env`` can't."""

# Keys of the run Secret.
SECRET_RUN_TOKEN: Final = "run-token"  # noqa: S105 - the name of a key, not its value
"""Bearer token of one attempt."""

SECRET_API_ENDPOINT: Final = "api-endpoint"  # noqa: S105 - the name of a key
"""The mothership's HTTPS endpoint."""

SECRET_CA: Final = "ca.crt"  # noqa: S105 - the name of a key
"""PEM of the CA that signed the endpoint's certificate."""

SECRET_WORKSPACE_KEY: Final = "workspace-key"  # noqa: S105 - the name of a key
"""Key that encrypts the workspace archive between stages."""

# --- Defaults --------------------------------------------------------------------------------------------------

DEFAULT_POOL_SIZE: Final = 1
"""``spec.poolSize`` of a pool that doesn't say; also the default of the CRD."""

MAX_POOL_SIZE: Final = 10_000
"""Largest ``spec.poolSize``: all Workers of a pool go through each call of its hook, so one number would be enough to
bring the operator down for every pool."""

DEFAULT_RUNNER_IMAGE: Final = "public.ecr.aws/spacelift/runner-terraform:latest"
"""Runner image of a run that names none, in a pool without ``defaultRunnerImage``."""

DEFAULT_ANSIBLE_RUNNER_IMAGE: Final = "public.ecr.aws/spacelift/runner-ansible:latest"
"""The same for a run of the tool ``ansible``."""

ANSIBLE_TOOL: Final = "ansible"
"""``tool`` of a scheduled run that takes the Ansible runner image by default."""

DEFAULT_FAILED_HISTORY: Final = 5
"""Failed Pods kept in a pool with neither limit nor time for them."""

DEFAULT_MQTT_RETRIES: Final = 5
"""Failed tries of a pool's first connection until it counts as unable to register."""

DEFAULT_ACTIVE_DEADLINE_SECONDS: Final = 4200
"""70 minutes, the documented deadline of a run Pod."""

RUN_USER_ID: Final = 1983
"""UID, GID and fsGroup of run Pods."""

CREDENTIALS_MODE: Final = 0o440
"""Mode of the mounted run Secret: readable by the Pod's group, by nobody else."""

CONTROLLER_NAMESPACE: Final = "spacelift-worker-controller-system"
"""Namespace that the operator is installed into."""

CONTROLLER_ACCOUNT: Final = "spacelift-workerpool-controller-controller-manager"
"""ServiceAccount that the operator is installed with."""

MANAGER_ROLE: Final = "spacelift-workerpool-controller-manager-role"
"""ClusterRole with the operator's rights in namespaces of pools."""

HOOK_SERVICE: Final = "spacelift-workerpool-controller-webhook-service"
"""Service that Metacontroller calls the hooks by."""

# Keys of the Secret with the hooks' credentials.
HOOK_CA_KEY: Final = "ca.crt"
"""PEM of the authorities to trust, the one that signs first."""

HOOK_CA_PRIVATE_KEY: Final = "ca.key"
"""PEM of the private key of the first one."""

HOOK_TOKEN_KEY: Final = "token"  # noqa: S105 - the name of a key
"""Bearer token that Metacontroller sends with each hook call."""

RUN_RESULT_KEPT_MESSAGE_LIMIT: Final = 1024
"""Longest outcome message (characters) that the agent stores in a Worker's status."""
