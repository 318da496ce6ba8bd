"""The kubelet of all simulated nodes: follows nodes, pods and services, and gives every pod a worker."""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from cluster.client import Api, Collection, Resource
from cluster.errors import ClusterError
from cluster.objects import condition, dig, mapping, text
from cluster.quantity import resources
from cluster.rehearsal.addresses import KUBELET_PORT
from cluster.rehearsal.kubelet import api as objects
from cluster.rehearsal.kubelet.api import KubeletApi
from cluster.rehearsal.kubelet.config import Config
from cluster.rehearsal.kubelet.dns import server as dns
from cluster.rehearsal.kubelet.dns import zone
from cluster.rehearsal.kubelet.events import Recorder
from cluster.rehearsal.kubelet.machine import cgroup, root
from cluster.rehearsal.kubelet.machine.images import Images
from cluster.rehearsal.kubelet.machine.logs import Logs
from cluster.rehearsal.kubelet.machine.network import Addresses, Bridge
from cluster.rehearsal.kubelet.machine.runtime import Machine
from cluster.rehearsal.kubelet.machine.sandbox import Sandbox
from cluster.rehearsal.kubelet.messages import Node, Seen, Services
from cluster.rehearsal.kubelet.pod.back_off import BackOff
from cluster.rehearsal.kubelet.pod.spec import Pod
from cluster.rehearsal.kubelet.server import Server
from cluster.rehearsal.kubelet.worker import Worker
from cluster.rehearsal.processes import GRACE_S

SIMULATED = "kwok.x-k8s.io/node"  # annotation; `fake` on every node that is ours
_STOP_S = GRACE_S - 3.0  # in which the memory groups are removed and this process ends, before the supervisor kills it
_log = logging.getLogger(__name__)

Object = Mapping[str, Any]


@dataclass(slots=True)
class Pods:
    """Which pods and nodes there are, and the worker of each pod. Safe for threads."""

    services: Services
    make: Callable[[Services, Pod, Node], Worker] = Worker
    _nodes: dict[str, Node] | None = None  # None until they were listed
    _pods: dict[str, Pod] | None = None  # by uid
    _workers: dict[str, Worker] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def see_nodes(self, items: list[Object]) -> None:
        """All nodes of the cluster, as they are now."""
        found = {text(dig(item, "metadata", "name")): _node(item) for item in items if _is_ours(item)}
        with self._lock:
            gone = {node.uid for node in (self._nodes or {}).values()} - {node.uid for node in found.values()}
            self._nodes = found
            self._reconcile()
        for uid in gone:
            self.services.images.forget(uid)

    def see_pods(self, items: list[Object]) -> None:
        """All pods that are bound to a node, as they are now."""
        with self._lock:
            self._pods = {pod.uid: pod for pod in map(Pod, items)}
            self._reconcile()

    def uid(self, namespace: str, name: str) -> str | None:
        """Of the pod of that name."""
        with self._lock:
            found = (pod.uid for pod in (self._pods or {}).values() if (pod.namespace, pod.name) == (namespace, name))
            return next(found, None)

    def runs(self, uid: str, container: str) -> bool:
        """Whether a process of that container runs."""
        with self._lock:
            worker = self._workers.get(uid)
        return worker is not None and worker.runs(container)

    def is_well(self) -> bool:
        """Whether both lists have been read."""
        return self._nodes is not None and self._pods is not None

    def stop(self) -> None:
        """End every container without telling anybody; after `_STOP_S` the kernel does, when this process ends."""
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            worker.vanish()
        deadline = time.monotonic() + _STOP_S
        for worker in workers:
            worker.join(deadline - time.monotonic())

    def _reconcile(self) -> None:
        """A worker for each pod of our nodes; it stays known until the pod's object is gone, so that none is run twice."""
        if self._nodes is None or self._pods is None:
            return
        for uid, pod in self._pods.items():
            node, worker = self._nodes.get(pod.node), self._workers.get(uid)
            if worker is None and node is not None:
                self._workers[uid] = worker = self.make(self.services, pod, node)
                worker.start()
            elif worker is not None and (node is None or node.uid != worker.node.uid):
                worker.vanish()
            elif worker is not None and node is not None:
                worker.see(Seen(pod, node))
        for uid in set(self._workers) - set(self._pods):
            self._workers.pop(uid).vanish()


class Kubelet:
    """Everything that runs, wired together."""

    def __init__(self, config: Config, now: Callable[[], float] = time.time) -> None:
        """Raises OSError, NetworkFailed or Refused where this machine or the configuration does not allow it."""
        api = Api.connect(config.kubeconfig)
        self._config, self._api = config, api
        kubelet_api = KubeletApi(api)
        self._machine = _machine(config)
        self._recorder = Recorder(kubelet_api, now)
        images = Images(config.images, config.scenario.scaled())
        back_off = BackOff(config.scenario.speed)
        self.pods = Pods(Services(self._machine, images, kubelet_api, self._recorder, back_off, now))
        self._names = Names(urlsplit(config.api_server).hostname or config.address)
        self._dns = dns.Server(config.address, lambda: self._names.zone)
        self._server = Server(
            (config.address, KUBELET_PORT),
            config.certificate,
            config.key,
            _authority(config.kubeconfig),
            self.pods,
            self._machine.logs,
        )

    def start(self) -> None:
        """Work from now on, in threads."""
        _sweep(self._machine)
        _log.info("back-off times are those of Kubernetes divided by %g", self._config.scenario.speed)
        self._recorder.start()
        self._dns.start()
        self._server.start()
        self._follow(objects.SERVICES, "", self._names.see_services)
        self._follow(objects.SLICES, "", self._names.see_slices)
        self._follow(objects.NODES, "", self.pods.see_nodes)
        self._follow(objects.PODS, "spec.nodeName!=", self.pods.see_pods)

    def stop(self) -> None:
        """End all pods' processes and give back what they had of the machine."""
        self.pods.stop()
        if self._machine.cgroups:
            self._machine.cgroups.remove()

    def _follow(self, resource: Resource, fields: str, see: Callable[[list[Object]], None]) -> None:
        def run() -> None:
            attempt = 0
            while True:
                try:
                    for items in Collection(self._api, resource, fields=fields).follow():
                        see(items)
                        attempt = 0
                except ClusterError as error:
                    _log.warning("%s are followed again from the start: %s", resource.plural, error)
                except Exception:  # noqa: BLE001 - without its watches the kubelet would stand still and look well
                    _log.exception("%s are followed again from the start", resource.plural)
                self._api.pace.back_off(attempt)
                attempt += 1

        threading.Thread(target=run, name=f"watch {resource.plural}", daemon=True).start()


class Names:
    """The zone, made anew when services or endpoints change."""

    def __init__(self, api_server: str) -> None:
        self.zone = zone.Zone()
        self._api_server = api_server
        self._services: list[Object] = []
        self._slices: list[Object] = []
        self._said: set[tuple[str, str]] = set()
        self._lock = threading.Lock()  # each list has a thread: a zone of older lists must not come last

    def see_services(self, items: list[Object]) -> None:
        """All services."""
        with self._lock:
            self._services = items
            self._build()

    def see_slices(self, items: list[Object]) -> None:
        """All endpoint slices."""
        with self._lock:
            self._slices = items
            self._build()

    def _build(self) -> None:
        self.zone = zone.build(self._services, self._slices, self._api_server)
        for service in self._services:
            uid, name = (text(dig(service, "metadata", field)) for field in ("uid", "name"))
            for port in zone.unreachable_ports(service, self._slices):
                if (uid, port) not in self._said:
                    self._said.add((uid, port))
                    _log.warning("service %s maps port %s: its name leads to pods as they listen", name, port)


def _machine(config: Config) -> Machine:
    server = urlsplit(config.api_server)
    port = str(server.port or 443)
    return Machine(
        config=config,
        bridge=Bridge.find(config.bridge, config.address),
        addresses=Addresses(config.pod_network),
        cgroups=cgroup.find(),
        logs=Logs(config.home / "logs"),
        mount_points=root.mount_points(Path("/proc/self/mountinfo").read_text("utf-8")),
        cluster_environment={
            "KUBERNETES_SERVICE_HOST": server.hostname or config.address,
            "KUBERNETES_SERVICE_PORT": port,
            "KUBERNETES_SERVICE_PORT_HTTPS": port,
        },
    )


def _sweep(machine: Machine) -> None:
    """Remove the sandboxes that a kubelet left which was killed; their processes ended with it."""
    for folder in (machine.config.home / "pods").glob("*/"):
        Sandbox(folder, None).remove()


def _authority(kubeconfig: Path) -> str:
    """The certificate of the cluster's authority, PEM, from a kubeconfig with everything in it."""
    document = yaml.safe_load(kubeconfig.read_text("utf-8"))
    encoded = text(dig(document, "clusters", 0, "cluster", "certificate-authority-data"))
    return base64.b64decode(encoded).decode("ascii")


def _is_ours(node: Object) -> bool:
    return text(dig(node, "metadata", "annotations", SIMULATED)) == "fake"


def _node(value: Object) -> Node:
    return Node(
        uid=text(dig(value, "metadata", "uid")),
        is_ready=condition(value, "Ready").get("status") == "True",
        allocatable=resources(mapping(dig(value, "status", "allocatable"))),
    )
