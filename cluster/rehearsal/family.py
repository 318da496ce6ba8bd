"""Who descends from whom: what the kernel's process table says, across namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")


def family(ancestor: int, *, proc: Path = PROC) -> Iterator[int]:
    """That process and all of its descendants, in any namespace."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents(proc):
        children.setdefault(parent, []).append(pid)
    ahead = [ancestor]
    while ahead:
        pid = ahead.pop()
        yield pid
        ahead += children.get(pid, [])


def _parents(proc: Path) -> Iterator[tuple[int, int]]:
    for folder in proc.iterdir():
        if folder.name.isdigit():
            try:
                # A process gives itself its name, which stands in brackets and is any bytes but a NUL.
                stat = (folder / "stat").read_text("utf-8", errors="replace")
            except OSError:  # it has ended meanwhile
                continue
            yield int(folder.name), int(stat.rpartition(") ")[2].split()[1])
