"""The one socket of a lab on the machine: who holds it is the lab, and commands to it come by it.

It is a Unix socket with a name in the kernel, not in the file system: it is gone when its last holder is, however that
ended, and a second lab cannot take it meanwhile. One line of JSON is asked, one is answered.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

from cluster.errors import ClusterError

NAME = "\0trainium-chatbot-rehearsal"
_TIMEOUT_S = 5.0
_LINE_BYTES = 4096
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


def wait_until_free(timeout_s: float, *, name: str = NAME) -> None:
    """Return when nobody has the socket any more, whose holder has stopped answering. Raises Silent after `timeout_s`.

    A lab's last process is `unshare`, which has inherited the socket: it goes a moment after the supervisor that it waits for.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(name)
            connection.recv(1)  # nobody accepts: it returns when the last holder closes what was not accepted
        except ConnectionError:
            return
        except OSError as error:
            raise Silent(f"The rehearsal's lab has not ended after {timeout_s:.0f} s.") from error


def ask(command: str, component: str = "", *, timeout_s: float = _TIMEOUT_S, name: str = NAME) -> dict[str, Any] | None:
    """The answer; None where there is no lab. Raises Silent, and ClusterError with the lab's own sentence."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(name)
            connection.sendall(json.dumps([command, component]).encode() + b"\n")
            line = connection.makefile("rb").readline()
        except ConnectionError:  # nobody listens, or whoever did has gone meanwhile
            return None
        except OSError as error:  # also where its queue is full of others who were not answered
            raise Silent("The rehearsal's lab is starting or ending at the moment: try again.") from error
    if not line.endswith(b"\n"):
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
        with contextlib.suppress(OSError):  # it hung up, or it did not wait
            is_ours = _peer(connection)[1] in {0, os.getuid()}
            line = connection.makefile("rb").readline(_LINE_BYTES) if is_ours else connection.recv(_LINE_BYTES)
            reply = _reply(line, commands) if is_ours else {"error": "The lab is another user's."}
            connection.sendall(json.dumps(reply).encode() + b"\n")


def _reply(line: bytes, commands: Mapping[str, Command]) -> dict[str, Any]:
    asked = _parsed(line)
    if asked is None:
        return {"error": "The lab takes one line of JSON: [COMMAND, COMPONENT]."}
    command, component = asked
    if command not in commands:
        return {"error": f"The lab knows no command {command!r}: it knows {', '.join(commands)}."}
    try:
        return commands[command](component)
    except (ClusterError, OSError, ValueError) as error:
        return {"error": str(error)}


def _parsed(line: bytes) -> tuple[str, str] | None:
    """Command and component, None for any other line."""
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        return None
    match asked:
        case [str(command), str(component)]:
            return command, component
    return None


def _peer(connection: socket.socket) -> tuple[int, int, int]:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(credentials)
    return pid, uid, gid
