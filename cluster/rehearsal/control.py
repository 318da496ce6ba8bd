"""The one socket of a lab on the machine: who holds it is the lab, and commands to it come by it.

It is a Unix socket with a name in the kernel, not in the file system: it is gone when its last holder is, however that
ended, and a second lab cannot take it meanwhile. One line of JSON is asked, one is answered.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

from cluster.errors import ClusterError

NAME = "\0trainium-chatbot-rehearsal"
_TIMEOUT_S = 5.0
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

# Takes the component's name, "" where there is none, and answers a JSON document. Raises ClusterError.
Command = Callable[[str], dict[str, Any]]


class Silent(ClusterError):
    """Somebody holds the socket and does not answer: a lab that is starting or ending."""


def take(name: str = NAME) -> socket.socket | None:
    """The socket, listening; None where a lab has it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(name)
    except OSError:
        listener.close()
        return None
    listener.listen()
    return listener


def holder(name: str = NAME) -> int | None:
    """The pid of the process that listens, as we see it; None where there is no lab."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(name)
        except OSError:
            return None
        return _peer(connection)[0]


def ask(command: str, component: str = "", *, timeout_s: float = _TIMEOUT_S, name: str = NAME) -> dict[str, Any] | None:
    """The answer; None where there is no lab. Raises Silent, and ClusterError with the lab's own sentence."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(name)
        except ConnectionRefusedError:
            return None
        try:
            connection.sendall(json.dumps([command, component]).encode() + b"\n")
            line = connection.makefile("rb").readline()
        except OSError as error:
            raise Silent("The rehearsal's lab is starting or ending at the moment: try again.") from error
    if not line:
        raise Silent("The rehearsal's lab is ending at the moment: try again.")
    reply: dict[str, Any] = json.loads(line)
    if "error" in reply:
        raise ClusterError(reply["error"])
    return reply


def answer(listener: socket.socket, commands: Mapping[str, Command]) -> None:
    """Accept one connection and answer what it asks; whoever it is, it cannot hurt more than itself."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(_TIMEOUT_S)
        if _peer(connection)[1] not in {0, os.getuid()}:
            return
        try:
            command, component = json.loads(connection.makefile("rb").readline() or b"[]")
            reply = commands[command](component)
        except ClusterError as error:
            reply = {"error": str(error)}
        except (OSError, ValueError, KeyError):  # it hung up, or it is none of ours
            return
        try:
            connection.sendall(json.dumps(reply).encode() + b"\n")
        except OSError:
            return  # it did not wait


def _peer(connection: socket.socket) -> tuple[int, int, int]:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(credentials)
    return pid, uid, gid
