"""Asking a container how it is: by HTTP, by a TCP connection, by a command inside it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster.objects import mapping, mappings, sequence, text
from cluster.rehearsal.kubelet.machine.process import Process
from cluster.rehearsal.kubelet.pod.spec import Container

_READ_BYTES = 10_240
_OUTPUT_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one probe or hook."""

    success: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A running container as probes and hooks reach it."""

    container: Container
    address: str
    process: Process
    environment: Mapping[str, str]
    user: tuple[int, int]

    def ask(self, action: Mapping[str, Any], timeout_s: float) -> Outcome:
        """Carry out an httpGet, tcpSocket, exec or, as hooks have it, sleep."""
        if get := mapping(action.get("httpGet")):
            return _http_get(get, self.container, self.address, timeout_s)
        if connect := mapping(action.get("tcpSocket")):
            port = self.container.port(text(connect.get("port")))
            return _tcp_socket(text(connect.get("host")) or self.address, port, timeout_s)
        if run := mapping(action.get("exec")):
            return self._exec([text(word) for word in sequence(run.get("command"))], timeout_s)
        if sleep := mapping(action.get("sleep")):
            time.sleep(min(float(sleep.get("seconds") or 0), timeout_s))
            return Outcome(success=True)
        kinds = ", ".join(sorted(kind for kind in action if isinstance(action[kind], dict)))
        return Outcome(success=False, message=f"{kinds or 'an empty action'} is not simulated by the process kubelet")

    def _exec(self, command: list[str], timeout_s: float) -> Outcome:
        try:
            code, output = self.process.run(command, self.environment, self.user, timeout_s)
        except subprocess.TimeoutExpired:
            return Outcome(success=False, message=f"command timed out after {timeout_s:g}s: {' '.join(command)}")
        except OSError as error:
            return Outcome(success=False, message=str(error))
        return Outcome(code == 0, output[:_OUTPUT_CHARACTERS])


def _http_get(get: Mapping[str, Any], container: Container, address: str, timeout_s: float) -> Outcome:
    scheme, host = text(get.get("scheme")).lower() or "http", text(get.get("host")) or address
    port, path = container.port(text(get.get("port"))), text(get.get("path")) or "/"
    url = f"{scheme}://{host}:{port}{path}"
    headers = {"User-Agent": "kube-probe/process-kubelet", "Accept": "*/*", "Connection": "close"}
    headers |= {text(header.get("name")): text(header.get("value")) for header in mappings(get.get("httpHeaders"))}
    with contextlib.closing(_connection(scheme, host, port, timeout_s)) as connection:
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read(_READ_BYTES)
        except (OSError, http.client.HTTPException) as error:
            return Outcome(success=False, message=f'Get "{url}": {str(error) or type(error).__name__}')
    success = http.HTTPStatus.OK <= answer.status < http.HTTPStatus.BAD_REQUEST
    return Outcome(success, "" if success else f"HTTP probe failed with statuscode: {answer.status}")


def _connection(scheme: str, host: str, port: int, timeout_s: float) -> http.client.HTTPConnection:
    """Not urllib: a proxy of the environment must not stand between us and a pod."""
    if scheme == "https":
        trust = ssl.create_default_context()
        trust.check_hostname = False
        trust.verify_mode = ssl.CERT_NONE  # as a kubelet does: it asks whether the pod is well, not who it is
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=trust)
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def _tcp_socket(host: str, port: int, timeout_s: float) -> Outcome:
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError as error:
        return Outcome(success=False, message=f"dial tcp {host}:{port}: {error}")
    return Outcome(success=True)
