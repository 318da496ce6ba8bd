from __future__ import annotations

import dataclasses
import socket

from cluster.rehearsal.control_plane import Ports


def test_free_ports_are_different_and_none_that_an_outgoing_connection_may_take() -> None:
    ports = dataclasses.astuple(Ports.free("127.0.0.1"))
    assert len(set(ports)) == 5
    assert all(port < 32768 for port in ports)
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()
