"""Ports for servers that cannot be asked which one they took."""

from __future__ import annotations

import socket


def free_port() -> int:
    """One on loopback that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
