"""From a container's spec to the launcher's specification: what is mounted where, as whom which command runs."""

from __future__ import annotations

import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.objects import dig, sequence, text
from cluster.rehearsal.kubelet.config import Image
from cluster.rehearsal.kubelet.machine import root
from cluster.rehearsal.kubelet.machine.cgroup import Group
from cluster.rehearsal.kubelet.machine.sandbox import Sandbox
from cluster.rehearsal.kubelet.pod.environment import expand
from cluster.rehearsal.kubelet.pod.fields import Unresolved
from cluster.rehearsal.kubelet.pod.spec import Container, Pod

# linux/capability.h, in the order of their numbers
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)  # fmt: skip
_KEPT_BY_RUNTIMES = frozenset(
    {
        "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
        "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
    }
)  # fmt: skip
TERMINATION_LOG = "/dev/termination-log"


@dataclass(frozen=True, slots=True)
class Start:
    """One start of one container."""

    pod: Pod
    container: Container
    image: Image
    environment: Mapping[str, str]
    volumes: Mapping[str, Path]
    sandbox: Sandbox
    folder: Path  # of this start, on the sandbox's tmpfs
    group: Group | None

    @property
    def temporary(self) -> Path:
        """Its /tmp, on disk."""
        return self.sandbox.disk / "tmp" / self.folder.name

    def make_folders(self) -> None:
        """What the specification's paths lead to."""
        for name in ("root", "upper", "work"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "termination").touch(mode=0o666)
        (self.folder / "termination").chmod(0o666)
        self.temporary.mkdir(parents=True)
        self.temporary.chmod(0o1777)


def user(pod: Pod, container: Container) -> tuple[int, int]:
    """Numbers of user and group; images of the rehearsal run as root where the pod does not say otherwise."""
    uid, gid = int(pod.security(container, "runAsUser") or 0), pod.security(container, "runAsGroup")
    return uid, gid if isinstance(gid, int) else _group_of(uid)


def base_environment(pod: Pod, container: Container, image: Image, cluster: Mapping[str, str]) -> dict[str, str]:
    """What is below the pod's own variables: the image's and the cluster's."""
    home = {"HOME": "/tmp"} if user(pod, container)[0] else {}  # noqa: S108 - where every user may write
    return {**root.environment(image), **home, "HOSTNAME": pod.hostname, **cluster}


def specification(start: Start, mount_points: Sequence[str], hidden: Sequence[str]) -> dict[str, Any]:
    """What `launcher.py` reads. Raises Unresolved where the spec asks for what cannot be."""
    pod, container, image = start.pod, start.container, start.image
    uid, gid = user(pod, container)
    if pod.security(container, "runAsNonRoot") is True and uid == 0:
        raise Unresolved("container has runAsNonRoot and image will run as root")
    needed = root.needed(image)
    concealed = [*root.FRESH, *hidden]
    own = [{"source": path, "target": path, "read_only": True} for path in root.binds(needed, mount_points, concealed)]
    return {
        "root": str(start.folder / "root"),
        "upper": str(start.folder / "upper"),
        "work": str(start.folder / "work"),
        "hidden": concealed,
        "binds": [*_shared(start), *own, *_mounts(start)],
        "reachable": needed if uid else [],
        "network": start.sandbox.network_path,
        "cgroup": {"path": str(start.group.path), "is_v2": start.group.is_v2} if start.group else None,
        "hostname": pod.hostname,
        "workdir": text(container.value.get("workingDir")) or image.workdir,
        "argv": argv(container, image, start.environment),
        "environment": dict(start.environment),
        "uid": uid,
        "gid": gid,
        "groups": groups(pod),
        "read_only_root": pod.security(container, "readOnlyRootFilesystem") is True,
        "no_new_privileges": pod.security(container, "allowPrivilegeEscalation") is False,
        "dropped_capabilities": dropped_capabilities(pod, container),
    }


def argv(container: Container, image: Image, environment: Mapping[str, str]) -> list[str]:
    """The pod's command and args, or the image's command with the pod's args. Raises Unresolved for none."""
    words = [*(container.command or image.command), *container.args]
    if not words:
        raise Unresolved("no command specified")
    return [expand(word, environment) for word in words]


def groups(pod: Pod) -> list[int]:
    """Supplementary groups of all its containers."""
    context = pod.spec.get("securityContext")
    own = dig(context, "fsGroup")
    return [*([own] if isinstance(own, int) else []), *sequence(dig(context, "supplementalGroups"))]


def dropped_capabilities(pod: Pod, container: Container) -> list[int]:
    """Numbers of those that the container does not get: container runtimes' defaults, changed by its `add` and `drop`."""
    if pod.security(container, "privileged") is True:
        return []
    asked = pod.security(container, "capabilities")
    added, dropped = set(sequence(dig(asked, "add"))), set(sequence(dig(asked, "drop")))
    kept = set(CAPABILITIES if "ALL" in added else set() if "ALL" in dropped else _KEPT_BY_RUNTIMES) - dropped | added
    return [number for number, name in enumerate(CAPABILITIES) if name not in kept]


def _group_of(uid: int) -> int:
    """By /etc/passwd, which is the image's; 0 for a user who is not in it."""
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return 0


def _shared(start: Start) -> list[dict[str, Any]]:
    etc = start.sandbox.memory / "etc"
    pairs = {f"/etc/{name}": etc / name for name in ("hosts", "hostname", "resolv.conf")}
    pairs |= {"/dev/shm": start.sandbox.memory / "shm", "/tmp": start.temporary}  # noqa: S108 - the container's own
    pairs[text(start.container.value.get("terminationMessagePath")) or TERMINATION_LOG] = start.folder / "termination"
    return [{"source": str(source), "target": target, "read_only": False} for target, source in pairs.items()]


def _mounts(start: Start) -> list[dict[str, Any]]:
    """Outer ones first, so that none hides another."""
    found = []
    for mount in sorted(start.container.mounts, key=lambda m: text(m.get("mountPath")).count("/")):
        volume = start.volumes.get(text(mount.get("name")))
        if volume is None:
            raise Unresolved(f"volume {text(mount.get('name'))} not found")
        below = text(mount.get("subPath")) or expand(text(mount.get("subPathExpr")), start.environment)
        source = volume / below if below else volume
        if not source.resolve().is_relative_to(volume.resolve()):
            raise Unresolved(f"subPath {below} leaves the volume")
        if not source.exists():
            source.mkdir(parents=True)
        found.append(
            {"source": str(source), "target": text(mount.get("mountPath")), "read_only": mount.get("readOnly") is True}
        )
    return found
