"""The first process inside a lab's namespaces: everything else of the lab descends from it and ends with it.

    python -m cluster.rehearsal.supervisor HOME     by `lab.py`, under unshare; reads HOME/supervisor.json

It makes the network, starts the components, answers questions about them, and ends them in order when it is told to, or
when the process that started a lab which is not to outlive it is gone. However it ends itself, the kernel ends the rest.
"""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.rehearsal import addresses, component, network
from cluster.rehearsal.build import Built
from cluster.rehearsal.component import Component
from cluster.rehearsal.components import Parts, Sockets
from cluster.rehearsal.control import Command, answer
from cluster.rehearsal.control_plane import ControlPlane
from cluster.rehearsal.processes import Processes
from cluster.rehearsal.scenario import Scenario

PERSON = "rehearsal-admin"  # whose kubeconfig leads to the API server from outside
STANDING = b"s"  # said on the lifeline: from now on the lab outlives its starter
_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Request:
    """What a lab is started with: HOME/supervisor.json."""

    cache: str
    first_state: str  # the folder whose data etcd starts on
    environment: dict[str, str]
    scenario: dict[str, Any]
    control: int  # descriptor of the listening socket that commands come by
    lifeline: int  # descriptor of a pipe's end; the other end is the starter's
    api: int
    chat: int
    api_url: str  # by which the API server is reached from outside

    def to_json(self) -> dict[str, Any]:
        """As `read` finds it."""
        return asdict(self)

    @classmethod
    def read(cls, home: Path) -> Request:
        """As `lab.py` wrote it."""
        return cls(**json.loads((home / "supervisor.json").read_text("utf-8")))


@dataclass(slots=True)
class Supervisor:
    """The components of one lab and what has become of them."""

    components: Mapping[str, Component]
    absent: tuple[str, ...]
    processes: Processes
    _stopped: set[str] = field(default_factory=set)

    def start(self) -> None:
        """Start everything. Raises ClusterError with the log of whatever does not come up."""
        component.start_all(self.components.values(), self.processes)

    def status(self) -> dict[str, Any]:
        """What each of them is doing: running, ended by itself, stopped by us, or absent by the scenario."""
        states = [self._state(name) for name in self.components]
        absent = [{"name": name, "state": "absent", "pid": None, "exit_code": None} for name in self.absent]
        return {"components": states + absent}

    def stop(self, name: str) -> dict[str, Any]:
        """End one on purpose."""
        self._known(name)
        self.processes.stop(name)
        self._stopped.add(name)
        return self.status()

    def restart(self, name: str) -> dict[str, Any]:
        """Start one again that was stopped or has ended, and return when it is ready."""
        part = self._known(name)
        self.processes.stop(name)
        self._stopped.discard(name)
        component.start_all([part], self.processes)
        return self.status()

    def _known(self, name: str) -> Component:
        if name not in self.components:
            raise ClusterError(f"The lab has no component {name!r}: it has {', '.join(self.components)}.")
        return self.components[name]

    def _state(self, name: str) -> dict[str, Any]:
        pid = self.processes.pids().get(name)
        code = None if pid is None else self.processes.exit_code(name)
        runs = pid is not None and code is None  # it has no pid where a restart has failed
        state = "stopped" if name in self._stopped else "running" if runs else "ended"
        return {"name": name, "state": state, "pid": pid if state == "running" else None, "exit_code": code}


def main(home: Path) -> int:
    """Run a lab until it is told to end."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _end(ending))
    request = Request.read(home)
    control = socket.socket(fileno=request.control)
    threading.Thread(target=_watch_lifeline, args=[request.lifeline], daemon=True).start()
    processes = Processes(home / "logs")
    try:
        network.make()
        supervisor = _supervisor(home, request, processes)
        supervisor.start()
        _serve(control, supervisor, home, ending)
    except ClusterError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        processes.stop_all()
    return 0


def _supervisor(home: Path, request: Request, processes: Processes) -> Supervisor:
    scenario = Scenario.from_json(request.scenario)
    built = Built(Path(request.cache))
    plane = ControlPlane(
        built,
        home,
        environment=request.environment,
        address=addresses.ADDRESS,
        ports=addresses.PORTS,
        first_state=Path(request.first_state),
    )
    plane.write_files()
    plane.kubeconfig_for(PERSON, "system:masters", server=request.api_url)
    sockets = Sockets(request.api, request.chat)
    parts = Parts(built, home, request.environment, scenario, sockets, plane)
    return Supervisor({part.name: part for part in parts.components()}, scenario.absent, processes)


def _serve(control: socket.socket, supervisor: Supervisor, home: Path, ending: threading.Event) -> None:
    """Answer commands, one connection at a time, until a signal ends it."""
    control.listen()  # again: from now on whoever asks sees our pid
    commands: dict[str, Command] = {
        "status": lambda _: {**supervisor.status(), "home": str(home)},
        "stop": supervisor.stop,
        "restart": supervisor.restart,
    }
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while not ending.is_set():
            for _ in selector.select(_LOOK_S):
                answer(control, commands)
            supervisor.processes.reap_others()


def _watch_lifeline(lifeline: int) -> None:
    if os.read(lifeline, 1) != STANDING:
        os.kill(os.getpid(), signal.SIGTERM)


def _end(ending: threading.Event) -> None:
    """Leave whatever is going on. Python swallows what is raised while it finalizes an object, so it is noted, too."""
    ending.set()
    raise SystemExit(0)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    sys.exit(main(Path(sys.argv[1])))
