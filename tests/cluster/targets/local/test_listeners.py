from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from cluster.targets.local import listeners, processes
from cluster.targets.local.listeners import Listener

# As Linux writes it on a little-endian machine: 127.0.0.1:8000, 0.0.0.0:9101, a connection, ::ffff:127.0.0.1:6379, :::8404.
TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1 0
   1: 00000000:238D 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 102 1 0
   2: 0100007F:1F40 0100007F:C001 01 00000000:00000000 00:00000000 00000000     0        0 103 1 0
"""
TCP6 = """  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF00000100007F:18EB 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 104 1 0
   1: 00000000000000000000000000000000:20D4 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 105 1 0
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "tcp").write_text(TCP)
    (tmp_path / "tcp6").write_text(TCP6)
    return tmp_path


def test_listening_sockets_are_read_with_their_addresses(net: Path) -> None:
    assert [(s.port, s.loopback, s.inode) for s in listeners.listening(net)] == [
        (8000, True, 101),
        (9101, False, 102),
        (6379, True, 104),
        (8404, False, 105),
    ]


def test_a_machine_without_ipv6_is_read_too(net: Path) -> None:
    (net / "tcp6").unlink()
    assert [s.port for s in listeners.listening(net)] == [8000, 9101]


@pytest.mark.parametrize(
    ("address", "excludes"),
    [("127.0.0.1", True), ("0.0.0.0", True), ("::", True), ("192.0.2.2", False), ("::1", False)],
)
def test_which_listeners_exclude_a_loopback_one_on_the_same_port(address: str, excludes: bool) -> None:
    assert Listener(address, 8000, 1).excludes("127.0.0.1") is excludes


def test_the_holder_of_a_port_is_named_with_its_pid() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        holder = listeners.holder(held.getsockname()[1], "127.0.0.1")
    assert holder is not None
    assert f"(pid {os.getpid()})" in holder


def test_a_free_port_has_no_holder() -> None:
    assert listeners.holder(listeners.free_ports(["x"])["x"], "127.0.0.1") is None


def test_free_ports_are_different_and_none_that_the_kernel_gives_to_another() -> None:
    ports = listeners.free_ports([str(i) for i in range(20)]).values()
    assert len(set(ports)) == 20
    first_of_the_kernels = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(port < first_of_the_kernels for port in ports)


def test_what_this_process_listens_on_is_found() -> None:
    own = processes.read(os.getpid())
    assert own is not None
    with socket.create_server(("127.0.0.1", 0)) as held:
        found = listeners.opened_by([own])
        assert held.getsockname()[1] in [listener.port for listener, _ in found]
