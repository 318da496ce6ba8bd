"""The kubelet's HTTPS server: container logs for `kubectl logs`, and whether it is well."""

from __future__ import annotations

import http.server
import logging
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import parse_qs, unquote, urlsplit

from cluster.rehearsal.kubelet.machine.logs import Logs, chunks

_HANDSHAKE_S = 10.0
_IDLE_S = 60.0
_log = logging.getLogger(__name__)
_NOT_SUPPORTED = frozenset({"exec", "attach", "run", "portForward"})
_NOT_SUPPORTED_LOG_OPTIONS = ("timestamps", "sinceTime", "sinceSeconds")
_NOT_SUPPORTED_SENTENCE = (
    "The rehearsal's process kubelet has no {what}: on a real node it would have; here, reach pods through Services.\n"
)


class Refusal(Exception):
    """A request that is answered with a status and one sentence."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Pods(Protocol):
    """What the server has to know of the pods that run."""

    def uid(self, namespace: str, name: str) -> str | None:
        """Of the pod of that name, None for none."""

    def runs(self, uid: str, container: str) -> bool:
        """Whether a process of that container runs."""

    def is_well(self) -> bool:
        """Whether pods are taken up and run."""


@dataclass(frozen=True, slots=True)
class LogRequest:
    """`kubectl logs`, as the API server passes it on."""

    namespace: str
    pod: str
    container: str
    follow: bool
    previous: bool
    tail_lines: int | None
    limit_bytes: int | None

    @classmethod
    def read(cls, path: str, query: str) -> LogRequest:
        """Raises Refusal for a path or an option that is not served."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if len(parts) != 4:
            raise Refusal(HTTPStatus.NOT_FOUND, "Ask for /containerLogs/NAMESPACE/POD/CONTAINER.\n")
        options = {name: values[-1] for name, values in parse_qs(query).items()}
        for name in _NOT_SUPPORTED_LOG_OPTIONS:
            if options.get(name, "false") not in {"false", ""}:
                sentence = f"The rehearsal's process kubelet keeps no times with its logs: leave {name} out.\n"
                raise Refusal(HTTPStatus.NOT_IMPLEMENTED, sentence)
        return cls(
            namespace=parts[1],
            pod=parts[2],
            container=parts[3],
            follow=options.get("follow") == "true",
            previous=options.get("previous") == "true",
            tail_lines=_number(options, "tailLines"),
            limit_bytes=_number(options, "limitBytes"),
        )


class Server:
    """Listens on one address; clients prove themselves by a certificate of the cluster's authority."""

    def __init__(
        self, address: tuple[str, int], certificate: Path, key: Path, authority: str, pods: Pods, logs: Logs
    ) -> None:
        """`authority` in PEM. Raises OSError where the port is taken."""
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trust.load_cert_chain(certificate, key)
        trust.load_verify_locations(cadata=authority)
        trust.verify_mode = ssl.CERT_OPTIONAL  # /healthz is for everybody
        self._server = _Listener(address, trust, pods, logs)

    @property
    def port(self) -> int:
        """The one that was asked for, or the free one that 0 stands for."""
        return self._server.server_address[1]

    def start(self) -> None:
        """Answer from now on."""
        threading.Thread(target=self._server.serve_forever, name="https", daemon=True).start()

    def stop(self) -> None:
        """Answer no more; only after `start`."""
        self._server.shutdown()
        self._server.server_close()


class _Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], trust: ssl.SSLContext, pods: Pods, logs: Logs) -> None:
        self.trust, self.pods, self.logs = trust, pods, logs
        super().__init__(address, _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: a client that stalls in its handshake holds up nobody else."""
        request.settimeout(_HANDSHAKE_S)
        with self.trust.wrap_socket(request, server_side=True) as secured:
            super().finish_request(cast(Any, secured), client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class has it
        """Somebody without a valid certificate, or who left: theirs to know, not ours to print."""
        _log.debug("the connection of %s ended", client_address, exc_info=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Listener
    connection: ssl.SSLSocket
    protocol_version = "HTTP/1.1"
    server_version = "process-kubelet"
    timeout = _IDLE_S

    def do_GET(self) -> None:
        """Every path that is served."""
        try:
            self._route()
        except Refusal as refusal:
            self._say(refusal.status, str(refusal))

    def do_POST(self) -> None:
        """What kubectl asks for by POST is nothing that we have."""
        self.close_connection = True
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Requests are not logged: probes of the lab ask for /healthz all the time."""

    def _route(self) -> None:
        url = urlsplit(self.path)
        first = url.path.strip("/").partition("/")[0]
        if first == "healthz":
            well = self.server.pods.is_well()
            self._say(HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE, "ok" if well else "starting")
            return
        if not self.connection.getpeercert():
            raise Refusal(HTTPStatus.UNAUTHORIZED, "Come with a client certificate of the cluster's authority.\n")
        if first in _NOT_SUPPORTED:
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, _NOT_SUPPORTED_SENTENCE.format(what=first))
        if first != "containerLogs":
            raise Refusal(HTTPStatus.NOT_FOUND, f"The rehearsal's process kubelet does not serve /{first}.\n")
        self._logs(LogRequest.read(url.path, url.query))

    def _logs(self, wanted: LogRequest) -> None:
        pods = self.server.pods
        uid = pods.uid(wanted.namespace, wanted.pod)
        if uid is None:
            raise Refusal(HTTPStatus.NOT_FOUND, f'pod "{wanted.pod}" not found on this kubelet\n')
        path = self.server.logs.find(uid, wanted.container, previous=wanted.previous)
        if path is None:
            which = "previous terminated container" if wanted.previous else "container"
            raise Refusal(HTTPStatus.BAD_REQUEST, f'{which} "{wanted.container}" in pod "{wanted.pod}" has no log\n')
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        follows: Callable[[], bool] = lambda: wanted.follow and pods.runs(uid, wanted.container)  # noqa: E731
        left = wanted.limit_bytes
        for chunk in chunks(path, tail_lines=wanted.tail_lines, follows=follows, sleep=time.sleep):
            part = chunk if left is None else chunk[:left]
            left = None if left is None else left - len(part)
            self._write_chunk(part)
            if left == 0:
                break
        self._write_chunk(b"")

    def _write_chunk(self, content: bytes) -> None:
        try:
            self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
            self.wfile.flush()
        except OSError as error:  # whoever read has left
            self.close_connection = True
            raise _Left from error

    def handle_one_request(self) -> None:
        """As the base class does, but the end of a reader is no error."""
        try:
            super().handle_one_request()
        except _Left:
            self.close_connection = True

    def _say(self, status: HTTPStatus, sentence: str) -> None:
        content = sentence.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class _Left(Exception):
    """The client has closed the connection."""


def _number(options: dict[str, str], name: str) -> int | None:
    value = options.get(name, "")
    if not value:
        return None
    if not value.isdecimal():
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{name} must be a number.\n")
    return int(value)
