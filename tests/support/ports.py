"""Ports for servers that cannot be asked which one they took."""

from __future__ import annotations

from cluster import ports


def free_port() -> int:
    """One that nobody listens on now, nor is given by the kernel to anybody else before the server has it."""
    return ports.free(1)[0]
