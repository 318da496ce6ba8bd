from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

from cluster.rehearsal.control_plane import Ports


def test_free_ports_are_different_and_none_that_an_outgoing_connection_may_take() -> None:
    ports = dataclasses.astuple(Ports.free("127.0.0.1"))
    assert len(set(ports)) == 5
    first_of_the_kernels = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(port < first_of_the_kernels for port in ports)
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()
