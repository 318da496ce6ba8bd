"""What a lab could leave on this machine, as lines to compare before and after."""

from __future__ import annotations

from pathlib import Path

from cluster.rehearsal.family import PROC
from cluster.rehearsal.kubelet.machine import cgroup

_CGROUPS = Path("/sys/fs/cgroup")
_OURS = (b"cluster.rehearsal", b"trainium-chatbot/rehearsal", b"raylet", b"gcs_server", b"ray start", b"haproxy")


def traces() -> frozenset[str]:
    """Mounts, network links and namespaces of this process's own, memory groups, and processes that a lab starts."""
    return frozenset((*_mounts(), *_links(), *_namespaces(), *_groups(), *_processes()))


def _mounts() -> list[str]:
    return [f"mount {line.split()[1]}" for line in (PROC / "self/mounts").read_text("utf-8").splitlines()]


def _links() -> list[str]:
    return [f"link {path.name}" for path in Path("/sys/class/net").iterdir()]


def _namespaces() -> list[str]:
    return [f"namespace {path}" for folder in ("/run/netns", "/var/run/netns") for path in Path(folder).glob("*")]


def _groups() -> list[str]:
    return [f"group {path}" for root in (_CGROUPS, _CGROUPS / "memory") for path in (root / cgroup.FOLDER).rglob("**/")]


def _processes() -> list[str]:
    """With its start, since the kernel gives a pid again."""
    found = []
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            try:
                command, stat = (folder / "cmdline").read_bytes(), (folder / "stat").read_text("utf-8", "replace")
            except OSError:  # it has ended meanwhile
                continue
            shown = command.replace(b"\0", b" ")
            if any(part in shown for part in _OURS):
                found.append(
                    f"process {folder.name} {stat.rpartition(') ')[2].split()[19]} {shown.decode(errors='replace')}"
                )
    return found
