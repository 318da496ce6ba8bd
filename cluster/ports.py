"""Ports for programs that have to be told which to take."""

from __future__ import annotations

import contextlib
import secrets
import socket

from cluster.errors import ClusterError

_PORTS = range(20000, 30000)  # below Linux's ephemeral ones, and those that Serve gives to its replicas


def free(count: int, address: str = "") -> list[int]:
    """Ports that nobody has, and that the kernel chooses for nobody else; by default on every address.

    Raises ClusterError where there are too few.
    """
    with contextlib.ExitStack() as held:
        found: list[int] = []
        for port in secrets.SystemRandom().sample(_PORTS, len(_PORTS)):
            with contextlib.suppress(OSError):
                held.enter_context(socket.socket()).bind((address, port))
                found.append(port)
            if len(found) == count:
                return found
    raise ClusterError(f"No {count} ports of {_PORTS[0]} to {_PORTS[-1]} are free on {address or 'every address'}.")
