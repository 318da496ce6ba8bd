"""The two ways into the lab: TCP connections to sockets of the machine are led to the API server and to the chatbot.

    python -m cluster.rehearsal.forward KUBECONFIG API_SOCKET CHAT_SOCKET

The sockets are inherited descriptors that listen on the machine's loopback; this process is inside. A connection for the
chatbot goes to a ready endpoint of its Service in turn, which is what kube-proxy would do.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster.client import Api, Collection
from cluster.errors import ClusterError
from cluster.objects import dig, mappings, text
from cluster.rehearsal.addresses import ADDRESS, NAMESPACE, PORTS, SERVICE
from cluster.rehearsal.kubelet.api import SLICES

_CHUNK_BYTES = 1 << 16
_CONNECT_S = 5.0
_SLOWEST = 5  # of the pace's attempts
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # struct linger: on, 0 s

_log = logging.getLogger(__name__)

Endpoint = tuple[str, int]
# The endpoint of the next connection, None where there is none.
Choose = Callable[[], Endpoint | None]


def ready_endpoints(slices: Iterable[Mapping[str, Any]]) -> list[Endpoint]:
    """Address and port of every endpoint that takes new connections, in a stable order."""
    found = {
        (text(address), int(dig(piece, "ports", 0, "port") or 0))
        for piece in slices
        for endpoint in mappings(piece.get("endpoints"))
        if dig(endpoint, "conditions", "ready") is not False  # None is to be taken as true
        for address in endpoint.get("addresses") or ()
    }
    return sorted(endpoint for endpoint in found if endpoint[1])


class Endpoints:
    """The chatbot's ready endpoints, as they are now, one after the other."""

    def __init__(self) -> None:
        self._turns: Iterator[Endpoint] = iter(())
        self._known: list[Endpoint] = []

    def update(self, known: list[Endpoint]) -> None:
        """What there is from now on."""
        if known != self._known:
            self._known, self._turns = known, itertools.cycle(known)

    def choose(self) -> Endpoint | None:
        """Round robin."""
        return next(self._turns, None)

    def follow(self, api: Api) -> None:
        """Keep up with the API server, for ever; while it is away what is known stays."""
        slices = Collection(api, SLICES, NAMESPACE, labels=f"kubernetes.io/service-name={SERVICE}")
        while True:
            self._follow_once(slices)
            api.pace.back_off(_SLOWEST)

    def _follow_once(self, slices: Collection) -> None:
        try:
            for state in slices.follow():
                self.update(ready_endpoints(state))
        except ClusterError as error:
            _log.warning("endpoints are not followed at the moment: %s", error)
        except Exception:  # noqa: BLE001 - without its watch this would lead to pods of long ago and look well
            _log.exception("endpoints are not followed at the moment")


async def serve(listener: socket.socket, choose: Choose) -> None:
    """Lead every connection to where `choose` says, until cancelled; where that is nowhere it is reset."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        endpoint = choose()
        try:
            if endpoint is None:
                raise ConnectionRefusedError
            inner = await asyncio.wait_for(asyncio.open_connection(*endpoint), _CONNECT_S)
        except (OSError, asyncio.TimeoutError):
            _reset(writer)
            return
        await asyncio.gather(_copy(reader, inner[1]), _copy(inner[0], writer))
        for end in (inner[1], writer):
            end.close()

    server = await asyncio.start_server(connected, sock=listener)
    await server.serve_forever()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, with its end; an end that breaks off is passed on as one."""
    try:
        while piece := await reader.read(_CHUNK_BYTES):
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
    except OSError:
        _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


async def _main(kubeconfig: Path, api_socket: int, chat_socket: int) -> None:
    endpoints = Endpoints()
    api = Api.connect(kubeconfig)
    threading.Thread(target=endpoints.follow, args=[api], daemon=True).start()
    await asyncio.gather(
        serve(socket.socket(fileno=api_socket), lambda: (ADDRESS, PORTS.api_server)),
        serve(socket.socket(fileno=chat_socket), endpoints.choose),
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
