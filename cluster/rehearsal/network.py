"""The lab's own network, made inside its namespaces: loopback, a bridge, and a /run that nobody else sees."""

from __future__ import annotations

import contextlib
import ipaddress
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cluster.errors import ClusterError
from cluster.rehearsal.addresses import ADDRESS, BRIDGE, NETWORK

# Where `ip netns` notes its namespaces, and what a few programs want to be there.
_RUN_FOLDERS = ("/run/netns", "/run/lock")
# Nothing is forwarded for want of a route, and whoever asks for an address outside is told so at once: Ray asks three
# clouds' metadata services.
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def make() -> None:
    """Everything goes with the namespaces. Raises ClusterError where the kernel refuses."""
    prefix = ipaddress.ip_network(NETWORK).prefixlen
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "link", "add", BRIDGE, "type", "bridge"],
        ["ip", "address", "add", f"{ADDRESS}/{prefix}", "dev", BRIDGE],
        ["ip", "link", "set", BRIDGE, "up"],
        ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"],
    ):
        _run(command)
    for folder in _RUN_FOLDERS:
        Path(folder).mkdir()
    with contextlib.suppress(OSError):  # where /proc/sys is read-only, pods wait for what will not come
        _FORWARDING.write_text("1", "ascii")


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ClusterError(f"The lab's network cannot be made: {' '.join(command)}: {done.stderr.strip()}")
