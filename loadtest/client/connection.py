"""Sockets on gevent, with llhttp (geventhttpclient) as the parser: the caller sees every read, so it can stamp it.

Higher-level clients read ahead and hand out lines, and then the instant of a token is that of its line, not of its
arrival; that is why the socket is ours and only the parser is a library's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import gevent.socket
import gevent.ssl
from geventhttpclient.response import HTTPResponse

from loadtest.errors import UsageError

READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the chatbot answers; `prefix` is a path before /v1, usually empty."""

    host: str
    port: int
    tls: bool
    prefix: str
    api_key: str | None = None

    @classmethod
    def parse(cls, url: str, *, api_key: str | None = None) -> Endpoint:
        """From `http://host:port[/prefix]`, or `host:port`. Raises UsageError."""
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port
        except ValueError:
            raise UsageError(
                f"{url}: give the chatbot's address as http://HOST:PORT, the port a number, an IPv6 address in brackets"
            ) from None
        bare = "://" not in url and port is None  # a word: more likely a slip than a host with port 80
        if parts.scheme not in ("http", "https") or not parts.hostname or bare:
            raise UsageError(f"{url}: give the chatbot's address as http://HOST:PORT")
        tls = parts.scheme == "https"
        prefix = parts.path.rstrip("/").removesuffix("/v1")
        return cls(parts.hostname, port or (443 if tls else 80), tls, prefix, api_key)

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self._authority}{self.prefix}"

    @property
    def _authority(self) -> str:
        """Host and port as an address has them: what has colons itself stands in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def request(self, method: str, path: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        """The bytes of one request."""
        fields = {"Host": self._authority, "Content-Length": str(len(body)), **(headers or {})}
        if self.api_key:
            fields["Authorization"] = f"Bearer {self.api_key}"
        lines = [f"{method} {self.prefix}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Response(HTTPResponse):
    """Headers and the body's bytes as far as they have come; chunked encoding is undone."""

    def __init__(self) -> None:
        super().__init__("POST")
        self._pieces: list[bytes] = []

    def _on_body(self, buf: bytearray) -> None:
        self._pieces.append(bytes(buf))

    def take_body(self) -> bytes:
        """What has come since the last call."""
        body = b"".join(self._pieces)
        self._pieces.clear()
        return body

    def fields(self) -> dict[str, str]:
        """Headers with names in lower case."""
        return {str(name).lower(): str(value) for name, value in self.items()}


class ConnectionPool:
    """Idle connections to one endpoint, the youngest first; a gevent process needs no lock for it."""

    def __init__(self, endpoint: Endpoint, *, connect_timeout_s: float, reuse: bool) -> None:
        self._endpoint = endpoint
        self._connect_timeout_s = connect_timeout_s
        self._reuse = reuse
        self._idle: list[gevent.socket.socket] = []

    def take(self) -> tuple[gevent.socket.socket, bool]:
        """A socket, and whether it was used before. Raises OSError."""
        if self._idle:
            return self._idle.pop(), True
        return self.fresh(), False

    def fresh(self) -> gevent.socket.socket:
        """A new connection. Raises OSError."""
        address = (self._endpoint.host, self._endpoint.port)
        sock = gevent.socket.create_connection(address, timeout=self._connect_timeout_s)
        sock.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
        if self._endpoint.tls:
            sock = gevent.ssl.create_default_context().wrap_socket(sock, server_hostname=self._endpoint.host)
        sock.settimeout(None)  # from here on the whole request has one limit
        return sock

    def give_back(self, sock: gevent.socket.socket) -> None:
        """Keep it for the next request, where the profile reuses connections."""
        if self._reuse:
            self._idle.append(sock)
        else:
            sock.close()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()
