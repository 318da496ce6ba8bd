"""An S3 server over HTTP on loopback (moto's), behind a wire that a test can watch and cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from moto.server import ThreadedMotoServer

BUCKET = "artifacts"


@dataclass
class Wire:
    """A relay in front of the server: what was asked, and cuts that are still to come."""

    url: str = ""
    requests: list[str] = field(default_factory=list)  # "GET /artifacts/…"
    cut_after_bytes: list[int] = field(default_factory=list)  # the next large answers end after so many

    def gets(self, suffix: str) -> int:
        return sum(request.startswith("GET ") and request.endswith(suffix) for request in self.requests)

    def relay(self, client: socket.socket, port: int) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as server:
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            sent = 0
            while block := server.recv(65536):
                sent += len(block)
                if sent > 100_000 and self.cut_after_bytes and sent > self.cut_after_bytes[0]:
                    self.cut_after_bytes.pop(0)
                    client.shutdown(socket.SHUT_RDWR)  # closing alone waits for the other thread's recv
                    return
                client.sendall(block)

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while block := client.recv(65536):
                for line in block.split(b"\r\n"):
                    if line.endswith(b" HTTP/1.1"):
                        self.requests.append(line.decode().removesuffix(" HTTP/1.1").split("?")[0])
                server.sendall(block)
            server.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def s3_server() -> Iterator[Wire]:
    """The server with one empty bucket; what it holds ends with it."""
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    port = moto.get_host_and_port()[1]
    wire = Wire()
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    wire.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=wire.relay, args=(client, port), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        _make_bucket(port)
        yield wire
    finally:
        listener.close()
        moto.stop()


def _make_bucket(port: int) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/moto-api/reset")
    connection.getresponse().read()
    connection.request("PUT", f"/{BUCKET}")
    assert connection.getresponse().status == 200
    connection.close()
