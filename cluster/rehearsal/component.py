"""A part of the lab as data, and the one way in which all of them are started."""

from __future__ import annotations

import contextlib
import http
import http.client
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from cluster.rehearsal.processes import Processes

READY_TIMEOUT_S = 240.0  # a few seconds on an idle machine
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Component:
    """One process."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_ready: Callable[[], bool]
    after: Sequence[str] = ()  # what has to be ready before it is started
    prepare: Callable[[], None] | None = None  # runs between that and the start
    sockets: Sequence[int] = ()  # descriptors that it inherits


def start_all(components: Iterable[Component], processes: Processes) -> None:
    """Start them in order, each when what it names in `after` is ready; return when all are.

    Raises ClusterError with the log of whatever does not start.
    """
    waiting: dict[str, Component] = {}
    for component in components:
        for name in component.after:
            _wait(waiting, name, processes)
        if component.prepare is not None:
            component.prepare()
        start(component, processes)
        waiting[component.name] = component
    for name in list(waiting):
        _wait(waiting, name, processes)


def start(component: Component, processes: Processes) -> None:
    """Start one, without waiting for it."""
    _log.info("%s is started", component.name)
    processes.start(component.name, component.command, environment=component.environment, sockets=component.sockets)


def answers(url: str, *, trust: ssl.SSLContext | None = None) -> Callable[[], bool]:
    """A readiness that is asked by HTTP: whether `url` is answered with 200. An https one is asked with `trust`."""
    address = urlsplit(url)
    host, port = str(address.hostname), address.port

    def connection() -> http.client.HTTPConnection:
        # Not urllib: a proxy of the environment must not stand between us and this machine.
        if address.scheme == "https":
            return http.client.HTTPSConnection(host, port, context=trust, timeout=2)
        return http.client.HTTPConnection(host, port, timeout=2)

    def ask() -> bool:
        with contextlib.closing(connection()) as opened:
            try:
                opened.request("GET", address.path)
                return opened.getresponse().status == http.HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                return False

    return ask


def _wait(waiting: dict[str, Component], name: str, processes: Processes) -> None:
    """Once for each: what was ready when it was waited for is not asked again. An absent one is not waited for."""
    component = waiting.pop(name, None)
    if component is not None:
        processes.wait_for(name, component.is_ready, timeout_s=READY_TIMEOUT_S)
        _log.info("%s is ready", name)
