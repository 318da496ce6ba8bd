"""Memory limits: one cgroup for each container, where this machine lets us make them.

Only memory is limited. A container's CPU is not: the nodes' cores are fiction, the processes share the machine's.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

FOLDER = "chatbot-rehearsal"  # below the hierarchy's root; what a lab that was killed leaves there is swept by name
_ROOT = Path("/sys/fs/cgroup")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Group:
    """One container's cgroup."""

    path: Path
    is_v2: bool

    @property
    def processes(self) -> Path:
        """Whoever writes its pid here joins."""
        return self.path / "cgroup.procs"

    def limit(self, limit_bytes: int) -> None:
        """Raises OSError where the kernel refuses."""
        (self.path / ("memory.max" if self.is_v2 else "memory.limit_in_bytes")).write_text(str(limit_bytes), "ascii")

    def oom_kills(self) -> int:
        """How often the kernel has killed one of its processes for want of memory; 0 where nobody can tell any more."""
        events = self.path / ("memory.events" if self.is_v2 else "memory.oom_control")
        try:
            lines = events.read_text("ascii").splitlines()
        except OSError:  # another lab's sweep took the empty group
            return 0
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
        return 0

    def remove(self) -> None:
        """Once its last process has ended. Raises OSError before."""
        with contextlib.suppress(FileNotFoundError):
            self.path.rmdir()


@dataclass(frozen=True, slots=True)
class Cgroups:
    """Where groups are made."""

    parent: Path
    is_v2: bool

    def make(self, name: str, limit_bytes: int | None) -> Group:
        """A new one. Raises OSError where the kernel refuses."""
        group = Group(self.parent / name, self.is_v2)
        group.path.mkdir(parents=True, exist_ok=True)  # another lab may have swept the parent
        if limit_bytes is not None:
            try:
                group.limit(limit_bytes)
            except OSError:
                group.remove()
                raise
        return group

    def remove(self) -> list[Path]:
        """With every group that is left; those that do not go, because processes are in them."""
        groups = [path for path in self.parent.glob("*") if path.is_dir()]
        return [path for path in (*groups, self.parent) if not _removed(path)]


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def find(root: Path = _ROOT) -> Cgroups | None:
    """The memory hierarchy of either version with our folder in it; None, and a line in the log, where there is none."""
    try:
        if (root / "memory" / "memory.limit_in_bytes").exists() or (root / "memory" / "memory.use_hierarchy").exists():
            return _made(Cgroups(root / "memory" / FOLDER, is_v2=False))
        if "memory" in (root / "cgroup.controllers").read_text("ascii").split():
            _delegate_memory(root)
            found = _made(Cgroups(root / FOLDER, is_v2=True))
            _delegate_memory(found.parent)
            return found
        reason = "the memory controller is not available"
    except OSError as error:
        reason = str(error)
    _log.info("memory limits are not enforced: no cgroup can be made here (%s)", reason)
    return None


def _made(groups: Cgroups) -> Cgroups:
    groups.parent.mkdir(exist_ok=True)
    return groups


def _delegate_memory(folder: Path) -> None:
    control = folder / "cgroup.subtree_control"
    if "memory" not in control.read_text("ascii").split():
        control.write_text("+memory", "ascii")
