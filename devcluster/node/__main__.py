"""The command line of the process node, and where its parts are put together.

Reflector(metadata.name=NAME)  --> NodeView --+
Reflector(spec.nodeName=)      --> Scheduler --+--binding--> API server
Reflector(spec.nodeName=NAME)  --> Pods --> PodWorker per Pod --> Starter --> Runtime (bubblewrap)
                                               |                                |
API server <--status, Events, DELETE-----------+      KubeletServer <--logs-----+
API server <--Node, Lease-- Heartbeat
"""

import logging
import os
import signal
import sys
import threading
from pathlib import Path

from devcluster.node.api import ApiClient, load_access
from devcluster.node.cgroup import MemoryLimits
from devcluster.node.events import Events
from devcluster.node.fields import NodeFacts
from devcluster.node.fit import Host, amounts
from devcluster.node.heartbeat import Heartbeat, NodeIdentity
from devcluster.node.images import ImageTable
from devcluster.node.ledger import Ledger
from devcluster.node.logs_server import KubeletServer, ServingCertificate, self_signed
from devcluster.node.nodeview import NodeView
from devcluster.node.objects import PodObjects
from devcluster.node.options import ImageSource, Options, parse_options
from devcluster.node.pods import Pods
from devcluster.node.podworker import Collaborators
from devcluster.node.runtime import Runtime, StartFailed
from devcluster.node.scheduler import UNSCHEDULED, Scheduler
from devcluster.node.starter import Starter, Workplace
from devcluster.node.volumes import Sources
from devcluster.node.watch import Reflector

log = logging.getLogger("devcluster.node")

# The release whose behaviour the node follows and whose API server it is tested with.
_KUBELET_VERSION = "v1.36.3"
_PODS, _NODES = "/api/v1/pods", "/api/v1/nodes"
# Longer than any list takes: without its answer the node goes by what it registers itself with.
_NODE_SECONDS = 10.0


def main() -> int:
    """Run a node until it is told to stop."""
    options = parse_options(sys.argv[1:])
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(threadName)s %(message)s",
    )
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        run(options, stopping)
    except (StartFailed, ValueError, OSError) as error:
        print(f"the process node can't start: {error}", file=sys.stderr)
        return 1
    return 0


def run(options: Options, stopping: threading.Event) -> None:
    """Build the parts, serve until `stopping`, leave; containers die with this process."""
    os.umask(0o022)
    options.state_dir.mkdir(parents=True, exist_ok=True)
    options.state_dir.chmod(0o700)
    access = load_access(options.kubeconfig)
    client = ApiClient(access, "process-node")
    limits = MemoryLimits(options.name, wanted=options.memory_limits == "auto")
    runtime = Runtime(limits, options.sandbox)
    node_view, ledger = NodeView(_host(options)), Ledger()
    work = _collaborators(options, client, runtime)
    pods = Pods(options.state_dir / "pods", work, node_view, ledger)
    server = KubeletServer((options.address, options.port), pods, lambda: _health(limits, runtime))
    server.secure(_certificate(options, access.ca))
    threading.Thread(target=server.serve_forever, name="kubelet api", daemon=True).start()
    node = NodeIdentity(
        name=options.name,
        address=options.address,
        port=server.server_address[1],
        max_pods=options.max_pods,
        runtime=f"{runtime.tool}://0",
        version=_KUBELET_VERSION,
    )
    heartbeat = Heartbeat(client, node, stopping.wait)
    heartbeat.register()
    heartbeat.start()
    listed = threading.Event()
    Reflector(
        client, _NODES, f"metadata.name={options.name}", node_view, stopping.wait, on_listed=listed.set
    ).start()
    listed.wait(_NODE_SECONDS)
    mine = Reflector(
        client, _PODS, f"spec.nodeName={options.name}", pods, stopping.wait, on_listed=pods.sweep
    )
    mine.start()
    if options.bind_pods:
        _schedule(options, client, (node_view, ledger), stopping)
    log.info("node is ready: name=%s port=%d runtime=%s", node.name, node.port, runtime.tool)
    for line in _health(limits, runtime):
        log.warning("%s", line)
    stopping.wait()
    heartbeat.leave()
    limits.close()


def _collaborators(options: Options, client: ApiClient, runtime: Runtime) -> Collaborators:
    """Return what the workers of Pods share."""
    images = ImageSource(options, options.state_dir / "images")
    server = client.access.server.rsplit(":", 1)
    node = NodeIdentity(options.name, options.address, 0, options.max_pods, "", "")
    facts = NodeFacts(options.name, options.address, node.capacity)
    place = Workplace(
        runtime=runtime,
        images=lambda: ImageTable(images.images()),
        facts=facts,
        farms=options.state_dir / "farms",
        shared_paths=options.allow_paths,
        api_server={
            "KUBERNETES_SERVICE_HOST": server[0].removeprefix("https://"),
            "KUBERNETES_SERVICE_PORT": server[1],
            "KUBERNETES_SERVICE_PORT_HTTPS": server[1],
        },
        as_root=os.geteuid() == 0,
    )

    def sources(objects: PodObjects) -> Sources:
        return Sources(facts, objects.data, objects.token)

    return Collaborators(
        client=client,
        events=Events(client, "kubelet", options.name),
        starter=Starter(place),
        sources=sources,
        start_slots=threading.Semaphore(options.start_slots),
    )


def _host(options: Options) -> Host:
    """Return what is known of the node before the API server has said anything."""
    node = NodeIdentity(options.name, options.address, 0, options.max_pods, "", "")
    return Host(node.name, node.labels, amounts(node.capacity))


def _schedule(
    options: Options, client: ApiClient, room: tuple[NodeView, Ledger], stopping: threading.Event
) -> None:
    """Begin to bind Pods that have no node."""
    if options.scheduler_kubeconfig is not None:
        client = ApiClient(load_access(options.scheduler_kubeconfig), "process-node-scheduler")
    events = Events(client, "default-scheduler", options.name)
    scheduler = Scheduler(client, *room, events)
    Reflector(client, _PODS, UNSCHEDULED, scheduler, stopping.wait).start()


def _certificate(options: Options, ca: bytes | None) -> ServingCertificate:
    """Return the files of the kubelet API's TLS."""
    client_ca = options.client_ca
    if client_ca is None:
        if ca is None:
            raise ValueError("the kubeconfig names no CA: give --client-ca-file")
        client_ca = options.state_dir / "client-ca.crt"
        client_ca.write_bytes(ca)
    if options.tls_cert is not None and options.tls_key is not None:
        return ServingCertificate(options.tls_cert, options.tls_key, client_ca)
    certificate, key = self_signed(Path(options.state_dir), options.name, options.address)
    return ServingCertificate(certificate, key, client_ca)


def _health(limits: MemoryLimits, runtime: Runtime) -> list[str]:
    """Return what this machine keeps the node from doing."""
    lines = []
    if not limits.available:
        lines.append("memory limits are watched over, not enforced: no control group can be made here")
    if runtime.tool == "proot":
        lines.append(
            "containers see each other's processes and read-only mounts are writable: proot stands in"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
