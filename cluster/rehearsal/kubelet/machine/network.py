"""A network namespace and an address on the bridge for each pod, by iproute2."""

from __future__ import annotations

import ipaddress
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NAMESPACES = Path("/run/netns")  # where `ip netns` keeps them


class NetworkFailed(Exception):
    """iproute2 refused; `str()` is what it said."""


class Addresses:
    """Hands out a range's addresses in turn, so that one that was given back rests as long as possible."""

    def __init__(self, network: str) -> None:
        self._hosts = [str(address) for address in ipaddress.ip_network(network).hosts()]
        self._next = 0
        self._taken: set[str] = set()
        self._lock = threading.Lock()

    def take(self) -> str:
        """A free one. Raises NetworkFailed when there is none."""
        with self._lock:
            for offset in range(len(self._hosts)):
                address = self._hosts[(self._next + offset) % len(self._hosts)]
                if address not in self._taken:
                    self._next = (self._next + offset + 1) % len(self._hosts)
                    self._taken.add(address)
                    return address
        raise NetworkFailed("no address is left in the pods' network")

    def give_back(self, address: str) -> None:
        """Idempotent."""
        with self._lock:
            self._taken.discard(address)


@dataclass(frozen=True, slots=True)
class Bridge:
    """The bridge that all pods hang on."""

    name: str
    address: str
    prefix_length: int

    def attach(self, address: str) -> str:
        """A namespace whose eth0 has this address; its name. Raises NetworkFailed."""
        name = namespace(address)
        link = _link(address)
        self.detach(address)  # of a kubelet that was killed
        _batch(
            [
                f"netns add {name}",
                f"link add {link} type veth peer name eth0 netns {name}",
                f"link set {link} master {self.name} up",
            ]
        )
        _batch(
            [
                f"addr add {address}/{self.prefix_length} dev eth0",
                "link set eth0 up",
                "link set lo up",
                f"route add default via {self.address}",
            ],
            "-n",
            name,
        )
        return name

    def detach(self, address: str) -> None:
        """Idempotent; the link goes with the namespace, which goes when its last process does."""
        name = namespace(address)
        if (NAMESPACES / name).exists():
            subprocess.run(["ip", "link", "del", _link(address)], check=False, stderr=subprocess.DEVNULL)
            _ip("netns", "del", name)

    @classmethod
    def find(cls, name: str, address: str) -> Bridge:
        """The bridge as it was set up. Raises NetworkFailed where it does not have that address."""
        for line in _ip("-4", "-o", "addr", "show", "dev", name).splitlines():
            fields = line.split()
            interface = ipaddress.ip_interface(fields[fields.index("inet") + 1])
            if str(interface.ip) == address:
                return cls(name, address, interface.network.prefixlen)
        raise NetworkFailed(f"the bridge {name} does not have the address {address}")


def namespace(address: str) -> str:
    """Named by its address, which is unique among the pods that run."""
    return f"pod-{address}"


def _link(address: str) -> str:
    return f"pod{int(ipaddress.ip_address(address)):08x}"  # at most 15 characters


def _batch(commands: Sequence[str], *options: str) -> None:
    _ip(*options, "-batch", "-", text="\n".join(commands))


def _ip(*arguments: str, text: str = "") -> str:
    done = subprocess.run(["ip", *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkFailed(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
