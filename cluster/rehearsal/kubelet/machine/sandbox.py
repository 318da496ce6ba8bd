"""A pod's place on this machine: its network, its folders, the files that its containers share."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.objects import dig, mapping, mappings, sequence, text
from cluster.rehearsal.kubelet.machine.network import NAMESPACES, Bridge, NetworkFailed
from cluster.rehearsal.kubelet.pod.spec import Pod

_SHARED_MEMORY = "size=64m,mode=1777"  # a container runtime's default for /dev/shm
_DOMAIN = "svc.cluster.local"
_log = logging.getLogger(__name__)


class MountFailed(Exception):
    """`str()` is what mount(8) said."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The folders of one pod. `memory` is a tmpfs of its own, for what an overlay needs and for secrets."""

    folder: Path
    network: str | None  # a namespace by name; None: the node's, which is the bridge's

    @property
    def memory(self) -> Path:
        """Gone with the pod, never on a disk."""
        return self.folder / "memory"

    @property
    def disk(self) -> Path:
        """For emptyDir volumes and /tmp: as large as the machine's disk."""
        return self.folder / "disk"

    @property
    def network_path(self) -> str:
        """For a process that is to be in the pod's network; empty for the node's."""
        return str(NAMESPACES / self.network) if self.network else ""

    def make(self, files: dict[str, str]) -> None:
        """Folders, shared memory and the files of /etc. Raises MountFailed. Idempotent."""
        self.disk.mkdir(parents=True, exist_ok=True)
        for folder, options in ((self.memory, "mode=755"), (self.memory / "shm", _SHARED_MEMORY)):
            folder.mkdir(parents=True, exist_ok=True)
            if not folder.is_mount():
                tmpfs(folder, options)
        (self.memory / "etc").mkdir(exist_ok=True)
        for name, content in files.items():
            (self.memory / "etc" / name).write_text(content, "utf-8")

    def remove(self) -> None:
        """Everything in it. Idempotent."""
        if self.memory.is_mount():
            subprocess.run(["umount", "--recursive", "--lazy", str(self.memory)], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def tmpfs(target: Path, options: str) -> None:
    """Mount one. Raises MountFailed."""
    command = ["mount", "-t", "tmpfs", "-o", f"nosuid,nodev,{options}", "tmpfs", str(target)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise MountFailed(f"tmpfs on {target}: {done.stderr.strip()}")


def files_of_etc(pod: Pod, pod_address: str, dns_address: str) -> dict[str, str]:
    """hosts, hostname and resolv.conf as a kubelet writes them."""
    return {
        "hosts": _hosts(pod, pod_address),
        "hostname": f"{pod.hostname}\n",
        "resolv.conf": _resolv_conf(pod, dns_address),
    }


def detach(bridge: Bridge, address: str) -> None:
    """Give the network back; what iproute2 has against it is only said."""
    try:
        bridge.detach(address)
    except NetworkFailed as error:
        _log.warning("the network of %s: %s", address, error)


def _hosts(pod: Pod, pod_address: str) -> str:
    subdomain = text(pod.spec.get("subdomain"))
    names = [f"{pod.hostname}.{subdomain}.{pod.namespace}.{_DOMAIN}"] if subdomain else []
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines.append("\t".join([pod_address, *names, pod.hostname]))
    lines += [
        "\t".join([text(alias.get("ip")), *map(text, sequence(alias.get("hostnames")))])
        for alias in mappings(pod.spec.get("hostAliases"))
    ]
    return "\n".join(lines) + "\n"


def _resolv_conf(pod: Pod, dns_address: str) -> str:
    config = mapping(pod.spec.get("dnsConfig"))
    servers, searches, options = [], [], []
    if pod.spec.get("dnsPolicy") != "None":
        servers = [dns_address]
        searches = [f"{pod.namespace}.{_DOMAIN}", _DOMAIN, "cluster.local"]
        options = ["ndots:5"]
    servers += map(text, sequence(config.get("nameservers")))
    searches += map(text, sequence(config.get("searches")))
    options += _options(mappings(config.get("options")))
    lines = [f"nameserver {server}" for server in servers]
    lines += [f"search {' '.join(searches)}"] if searches else []
    lines += [f"options {' '.join(options)}"] if options else []
    return "\n".join(lines) + "\n"


def _options(options: Sequence[object]) -> list[str]:
    pairs = ((text(dig(option, "name")), text(dig(option, "value"))) for option in options)
    return [f"{name}:{value}" if value else name for name, value in pairs]
