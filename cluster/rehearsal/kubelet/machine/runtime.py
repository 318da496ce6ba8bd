"""One pod on this machine: its sandbox made and removed, its containers started. What it means is decided elsewhere."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster.objects import dig, text
from cluster.quantity import Resources
from cluster.rehearsal.kubelet.config import Config
from cluster.rehearsal.kubelet.machine import container as containers
from cluster.rehearsal.kubelet.machine import sandbox as sandboxes
from cluster.rehearsal.kubelet.machine.cgroup import Cgroups, Group
from cluster.rehearsal.kubelet.machine.logs import Logs
from cluster.rehearsal.kubelet.machine.network import Addresses, Bridge, namespace
from cluster.rehearsal.kubelet.machine.probe import Target
from cluster.rehearsal.kubelet.machine.process import Process
from cluster.rehearsal.kubelet.machine.sandbox import Sandbox
from cluster.rehearsal.kubelet.machine.volumes import Volumes
from cluster.rehearsal.kubelet.pod import environment
from cluster.rehearsal.kubelet.pod.fields import Fields, Unresolved, memory_limit_bytes
from cluster.rehearsal.kubelet.pod.files import Sources
from cluster.rehearsal.kubelet.pod.refused import refuse_container, refuse_pod
from cluster.rehearsal.kubelet.pod.spec import Container, Pod

_MESSAGE_BYTES = 4096  # a kubelet's limits: of the file's end, and of the log's
_LOG_BYTES, _LOG_LINES = 2048, 80
_GROUP_ATTEMPTS, _GROUP_PAUSE_S = 100, 0.02


@dataclass(frozen=True, slots=True)
class Machine:
    """What all pods of this machine share."""

    config: Config
    bridge: Bridge
    addresses: Addresses
    cgroups: Cgroups | None
    logs: Logs
    mount_points: Sequence[str]
    cluster_environment: Mapping[str, str]  # where pods find the API server

    def sandbox(self, pod: Pod, address: str) -> Sandbox:
        """Of a pod, made or not."""
        network = None if pod.has_host_network else namespace(address)
        return Sandbox(self.config.home / "pods" / pod.uid, network)


@dataclass(frozen=True, slots=True)
class Live:
    """One start of a container."""

    target: Target
    folder: Path
    temporary: Path

    @property
    def process(self) -> Process:
        """Which may have ended."""
        return self.target.process


@dataclass(slots=True)
class Runtime:
    """One pod. `address` is empty until it has a network."""

    machine: Machine
    pod: Pod
    node_uid: str
    allocatable: Resources
    address: str = ""
    _volumes: dict[str, Path] = field(default_factory=dict)
    _is_attached: bool = False  # to a network of its own

    @property
    def fields(self) -> Fields:
        """What the pod can be told about itself now."""
        return Fields(self.pod, self.address, self.machine.config.address, self.allocatable)

    def prepare(self, sources: Sources) -> None:
        """Network, folders, volumes. Idempotent.

        Raises Unresolved for a volume, NotSimulated, NetworkFailed, MountFailed, OSError.
        """
        machine = self.machine
        refuse_pod(self.pod)
        if not self.address:
            self._attach()
        sandbox = machine.sandbox(self.pod, self.address)
        sandbox.make(sandboxes.files_of_etc(self.pod, self.address, machine.config.address))
        node_folder = machine.config.home / "nodes" / self.node_uid
        group = dig(self.pod.spec, "securityContext", "fsGroup")
        volumes = Volumes(sandbox, node_folder, group if isinstance(group, int) else None)
        for volume in self.pod.volumes:
            name = text(volume.get("name"))
            try:
                self._volumes[name] = volumes.make(volume, sources)
            except Unresolved as error:
                raise Unresolved(f'MountVolume.SetUp failed for volume "{name}" : {error}') from error

    def start(self, container: Container, instance: int, lookup: environment.Lookup) -> Live:
        """Return when its command runs. Raises Unresolved, NotSimulated, StartFailed, OSError."""
        machine, pod = self.machine, self.pod
        refuse_container(container)
        image = machine.config.images[container.image]
        base = containers.base_environment(pod, container, image, machine.cluster_environment)
        resolved = environment.resolve(container, base, self.fields, lookup)
        sandbox, name = machine.sandbox(pod, self.address), f"{container.name}-{instance}"
        start = containers.Start(
            pod=pod,
            container=container,
            image=image,
            environment=resolved,
            volumes=self._volumes,
            sandbox=sandbox,
            folder=sandbox.memory / "containers" / name,
            group=self._group(container, name),
        )
        try:
            process = self._launch(start, instance)
        except BaseException:
            _clear(start.folder, start.temporary)
            if start.group is not None:
                remove(start.group)
            raise
        target = Target(container, self.address, process, resolved, containers.user(pod, container))
        return Live(target, start.folder, start.temporary)

    def ended(self, live: Live, exit_code: int) -> str:
        """What the container left as its last words; its own layer and /tmp go."""
        container = live.target.container
        message = (live.folder / "termination").read_bytes()[-_MESSAGE_BYTES:].decode("utf-8", "replace")
        if not message and exit_code and container.value.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            said = self.machine.logs.tail(self.pod.uid, container.name, _LOG_BYTES)
            message = "".join(said.splitlines(keepends=True)[-_LOG_LINES:])
        _clear(live.folder, live.temporary)
        return message

    def release(self) -> None:
        """Sandbox and network, not the logs. Idempotent."""
        self.machine.sandbox(self.pod, self.address).remove()
        if self._is_attached:
            self._is_attached = False  # the address, which a status still names, may be another pod's from now on
            sandboxes.detach(self.machine.bridge, self.address)
            self.machine.addresses.give_back(self.address)

    def _launch(self, start: containers.Start, instance: int) -> Process:
        machine = self.machine
        hidden = [str(machine.config.home), str(machine.config.kubeconfig.parent)]
        document = containers.specification(start, machine.mount_points, hidden)
        start.make_folders()
        specification = start.folder / "specification.json"
        specification.touch(mode=0o600)
        specification.write_text(json.dumps(document), "utf-8")
        log = machine.logs.new(self.pod.uid, start.container.name, instance)
        return Process.start(specification, start.group, log)

    def _attach(self) -> None:
        if self.pod.has_host_network:
            self.address = self.machine.config.address
            return
        address = self.machine.addresses.take()
        try:
            self.machine.bridge.attach(address)
        except BaseException:
            sandboxes.detach(self.machine.bridge, address)
            self.machine.addresses.give_back(address)
            raise
        self.address, self._is_attached = address, True

    def _group(self, container: Container, name: str) -> Group | None:
        if self.machine.cgroups is None:
            return None
        return self.machine.cgroups.make(f"{self.pod.uid}-{name}", memory_limit_bytes(container.value))


def _clear(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def remove(group: Group) -> None:
    """A container's cgroup; the last of its processes may still be on their way out."""
    for _ in range(_GROUP_ATTEMPTS):
        with contextlib.suppress(OSError):
            group.remove()
            return
        time.sleep(_GROUP_PAUSE_S)
