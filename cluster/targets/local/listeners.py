"""Who listens where, read from /proc/net: a name for a busy port, and the list of what we opened."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster import ports
from cluster.targets.local import processes
from cluster.targets.local.processes import Process

LISTEN = "0A"
NET = Path("/proc/net")


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening TCP socket."""

    address: str
    port: int
    inode: int

    @property
    def loopback(self) -> bool:
        """Nobody from another machine gets there."""
        return _plain(self.address).is_loopback

    def excludes(self, host: str) -> bool:
        """No socket for `host` and this port can be opened beside it."""
        return _plain(self.address).is_unspecified or _plain(self.address) == _plain(host)


def listening(net: Path = NET) -> list[Listener]:
    """Every listening TCP socket of this machine."""
    found: list[Listener] = []
    for table in ("tcp", "tcp6"):
        path = net / table
        if path.exists():  # tcp6 is missing where IPv6 is switched off
            rows = (line.split() for line in path.read_text().splitlines()[1:])
            found += [_listener(row) for row in rows if row[3] == LISTEN]
    return found


def holder(port: int, host: str) -> str | None:
    """Who keeps `port` from us, in words; None when it is free."""
    busy = {listener.inode for listener in listening() if listener.port == port and listener.excludes(host)}
    if not busy:
        return None
    for process in processes.snapshot():
        if not busy.isdisjoint(processes.sockets(process.pid)):
            return f"{process.title[:80]} (pid {process.pid})"
    return "a process of another user"


def opened_by(some: Sequence[Process]) -> list[tuple[Listener, Process]]:
    """What these processes listen on, by port."""
    owners = {inode: process for process in some for inode in processes.sockets(process.pid)}
    held = [(listener, owners[listener.inode]) for listener in listening() if listener.inode in owners]
    return sorted(held, key=lambda pair: pair[0].port)


def free_ports(names: Sequence[str]) -> Mapping[str, int]:
    """A port for each name that is free on every address, and none that the kernel gives to Ray's workers meanwhile."""
    return dict(zip(names, ports.free(len(names)), strict=True))


def _listener(row: Sequence[str]) -> Listener:
    """A row of /proc/net/tcp; addresses are 32-bit words in this machine's byte order."""
    address, _, port = row[1].partition(":")
    words = struct.unpack(f"<{len(address) // 8}I", bytes.fromhex(address))
    packed = struct.pack(f">{len(words)}I", *words)
    return Listener(str(ipaddress.ip_address(packed)), int(port, 16), int(row[9]))


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    parsed = ipaddress.ip_address(address)
    return parsed.ipv4_mapped or parsed if isinstance(parsed, ipaddress.IPv6Address) else parsed
