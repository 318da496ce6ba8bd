"""The lab from outside: started, asked, ended. One on a machine."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError, Refused
from cluster.rehearsal import control, first_state
from cluster.rehearsal.build import Built
from cluster.rehearsal.components import ROOT, inner_environment
from cluster.rehearsal.kubelet.machine import cgroup
from cluster.rehearsal.namespaces import UNSHARE, host_pids, refuse_without_namespaces
from cluster.rehearsal.scenario import Scenario
from cluster.rehearsal.supervisor import PERSON, STANDING, Request

START_TIMEOUT_S = 600.0  # fifteen seconds on an idle machine
STOP_TIMEOUT_S = 120.0  # a few seconds
RESTART_TIMEOUT_S = 300.0
LOOPBACK = "127.0.0.1"
_LOOK_S = 10.0  # a question that is given up stays in the lab's queue of 128; a lab that ends answers it at once
_CGROUPS = Path("/sys/fs/cgroup")
_LOG_TAIL_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Part:
    """One component, as it is now."""

    name: str
    state: str  # running, ended, stopped or absent
    pid: int | None  # on this machine, while it runs
    exit_code: int | None

    @property
    def is_as_meant(self) -> bool:
        """Whether nothing happened to it that nobody asked for."""
        return self.state != "ended"


@dataclass(frozen=True, slots=True)
class Running:
    """A lab that has come up."""

    pid: int  # of its supervisor
    kubeconfig: Path
    chat_url: str  # refuses connections until the chatbot has a ready endpoint
    scenario: Scenario
    parts: tuple[Part, ...]

    @property
    def is_healthy(self) -> bool:
        """No component has ended by itself."""
        return all(part.is_as_meant for part in self.parts)


@dataclass(slots=True)
class Lab:
    """The lab whose files are in `home`."""

    home: Path
    _lifeline: int | None = field(default=None, repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def kubeconfig(self) -> Path:
        """For an administrator, from anywhere on this machine."""
        return self.home / f"{PERSON}.kubeconfig"

    @property
    def logs(self) -> Path:
        """One file for each component, and the supervisor's."""
        return self.home / "logs"

    def up(
        self, built: Built, environment: Mapping[str, str], scenario: Scenario, *, standing: bool = False
    ) -> Running:
        """Start it and return when every component is ready. Unless `standing`, it ends with this process.

        Raises Refused where a lab runs already or namespaces are not allowed, ClusterError with the log of whatever
        does not start; nothing is left running then.
        """
        refuse_without_namespaces()
        listener = control.take()
        if listener is None:
            raise Refused(_taken())
        with listener:
            self._sweep()  # groups that stay are of no harm to a new lab
            self.logs.mkdir(parents=True)
            with socket.create_server((LOOPBACK, 0)) as api, socket.create_server((LOOPBACK, 0)) as chat:
                process = self._process = self._start(built, environment, scenario, listener, api, chat)
                chat_url = f"http://{LOOPBACK}:{chat.getsockname()[1]}"
        try:
            self._wait(process)
            running = self._note(chat_url, scenario)
        except BaseException:
            self._let_go()
            _wait_for_end(process)
            raise
        if standing:
            self._let_go(STANDING)
        return running

    def status(self) -> Running | None:
        """What runs now, found out now; None where there is no lab of this home. Raises control.Silent."""
        answer = control.ask("status")
        if answer is None or answer["home"] != str(self.home):
            return None
        try:
            noted = json.loads((self.home / "lab.json").read_text("utf-8"))
        except FileNotFoundError as error:
            raise control.Silent("The rehearsal's lab is starting at the moment: try again.") from error
        return Running(
            noted["pid"],
            Path(noted["kubeconfig"]),
            noted["chat_url"],
            Scenario.from_json(noted["scenario"]),
            _parts(noted["pid"], answer),
        )

    def stop_component(self, name: str) -> None:
        """End one component and keep it so: a seeded fault. Raises ClusterError where there is none of that name."""
        _command("stop", name, STOP_TIMEOUT_S)

    def restart_component(self, name: str) -> None:
        """Start one again, and return when it is ready."""
        _command("restart", name, RESTART_TIMEOUT_S)

    def down(self) -> None:
        """End it, its components in reverse order, and remove its folder. Idempotent.

        Raises Refused where the machine's lab has another home, control.Silent where one does not answer that this process
        has not started, ClusterError where something of it cannot be removed.
        """
        try:
            answer = control.ask("status", timeout_s=STOP_TIMEOUT_S)  # also of one that is starting, when it has
        except control.Silent:
            if self._process is None:
                raise
            answer = None  # it is ending, or it hangs: ours is ended below, whatever it says
        pid = control.holder()
        if answer is not None and pid is not None:
            if answer["home"] != str(self.home):
                raise Refused(f"The lab that runs here (pid {pid}) is of {answer['home']}, not of {self.home}.")
            _end(pid)
        self._let_go()
        if self._process is not None:
            _wait_for_end(self._process)
        control.wait_until_free(STOP_TIMEOUT_S)
        held = control.take()
        if held is None:
            return  # the next lab has begun, and has swept
        with held:
            left = self._sweep()
        if left:
            raise ClusterError(f"The lab has ended, and {', '.join(map(str, left))} could not be removed.")

    def _start(
        self,
        built: Built,
        environment: Mapping[str, str],
        scenario: Scenario,
        listener: socket.socket,
        api: socket.socket,
        chat: socket.socket,
    ) -> subprocess.Popen[bytes]:
        state = first_state.of(built, inner_environment(environment))  # which may fail: before there is a pipe to close
        ours, self._lifeline = os.pipe()
        request = Request(
            cache=str(built.cache),
            first_state=str(state),
            environment=inner_environment(environment),
            scenario=scenario.to_json(),
            control=listener.fileno(),
            lifeline=ours,
            api=api.fileno(),
            chat=chat.fileno(),
            api_url=f"https://{LOOPBACK}:{api.getsockname()[1]}",
        )
        (self.home / "supervisor.json").write_text(json.dumps(request.to_json()), "utf-8")
        with (self.logs / "supervisor.log").open("wb") as log:
            process = subprocess.Popen(
                [*UNSHARE, sys.executable, "-m", "cluster.rehearsal.supervisor", str(self.home)],
                cwd=ROOT,
                env=request.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[request.control, request.lifeline, request.api, request.chat],
            )
        os.close(ours)
        return process

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Return when the supervisor answers, which it does when everything is ready."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                log = (self.logs / "supervisor.log").read_text("utf-8", "replace")
                raise ClusterError(f"The lab did not start; {self.logs} has the logs. {log[-_LOG_TAIL_CHARACTERS:]}")
            with contextlib.suppress(control.Silent):
                if control.ask("status", timeout_s=_LOOK_S) is not None:
                    return
        raise ClusterError(f"The lab was not ready after {START_TIMEOUT_S:.0f} s; {self.logs} has the logs.")

    def _note(self, chat_url: str, scenario: Scenario) -> Running:
        answer, pid = control.ask("status"), control.holder()
        if answer is None or pid is None:
            raise self._ended_at_once()
        running = Running(pid, self.kubeconfig, chat_url, scenario, _parts(pid, answer))
        document = {
            "pid": pid,
            "kubeconfig": str(self.kubeconfig),
            "chat_url": chat_url,
            "scenario": scenario.to_json(),
            "components": [{"name": part.name, "pid": part.pid} for part in running.parts],
        }
        unfinished = self.home / "lab.json.new"
        unfinished.write_text(json.dumps(document, indent=1), "utf-8")
        unfinished.rename(self.home / "lab.json")
        return running

    def _ended_at_once(self) -> ClusterError:
        return ClusterError(f"The lab ended as soon as it had started; {self.logs} has the logs.")

    def _let_go(self, said: bytes = b"") -> None:
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is None:
            return
        try:
            if said:
                os.write(lifeline, said)
        except BrokenPipeError as error:
            raise self._ended_at_once() from error
        finally:
            os.close(lifeline)

    def _sweep(self) -> list[Path]:
        """Remove what a lab leaves that the kernel does not end with it: its folder and its memory groups.

        Returns the groups that stay. Raises ClusterError where the folder does.
        """
        try:
            shutil.rmtree(self.home)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise ClusterError(f"{self.home} cannot be removed: {error}") from error
        hierarchies = ((_CGROUPS / "memory", False), (_CGROUPS, True))  # of either version
        groups = (cgroup.Cgroups(root / cgroup.FOLDER, is_v2=is_v2) for root, is_v2 in hierarchies)
        return [path for group in groups for path in group.remove()]


def _command(command: str, component: str, timeout_s: float) -> None:
    if control.ask(command, component, timeout_s=timeout_s) is None:
        raise ClusterError(f"The lab has ended: {component} cannot be told to {command}.")


def _taken() -> str:
    return f"A lab runs already on this machine (pid {control.holder()}), another or otherwise set up; end it: python -m cluster rehearsal down"


def _parts(supervisor: int, answer: Mapping[str, Any]) -> tuple[Part, ...]:
    """The supervisor knows its children by the pids of its own namespace."""
    pids = host_pids(supervisor)
    return tuple(
        Part(part["name"], part["state"], pids.get(part["pid"]), part["exit_code"]) for part in answer["components"]
    )


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()  # unshare's own child, and with it everything, is killed by the kernel
        process.wait()


def _end(pid: int) -> None:
    """TERM and wait, KILL where that is ignored; a process that is gone by now is none of ours any more."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            if not select.select([handle], [], [], STOP_TIMEOUT_S)[0]:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [], STOP_TIMEOUT_S)
        finally:
            os.close(handle)
