"""Up, endpoint, status and down for this machine: resumable, and leaving nothing behind but logs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from cluster.chat_request import is_ready, stream_chat
from cluster.errors import ClusterError, NotReady, Refused
from cluster.settings import Settings
from cluster.targets import Status, Tell
from cluster.targets.local import listeners, processes, ray_head
from cluster.targets.local.dashboard import Dashboard
from cluster.targets.local.folder import LocalFolder
from cluster.targets.local.processes import Leader, Process
from cluster.targets.local.ray_head import LOOPBACK
from cluster.targets.local.serve_config import Config, application, argument, longest_answer_s
from cluster.targets.local.state import State, code_digest, digest, read_state, write_state
from cluster.targets.local.status import describe

PROJECT = Path(__file__).resolve().parents[3]
RAY_STARTS_S = 120.0
APPLICATION_STARTS_S = 600.0
RECOVERY_S = 60.0  # of what has been ready before
NEWS_S = 10.0  # a person who waits hears something so often
POLL_S = 0.25


class LocalTarget:
    """Satisfies `cluster.targets.Target`."""

    name = "local"

    def __init__(self, settings: Settings, tell: Tell, config: Config) -> None:
        self._folder = LocalFolder(settings.cache_dir / "local")
        self._environment = settings.environment
        self._api_key = settings.api_key
        self._tell = tell
        self._config = config
        self._application = str(application(config)["name"])
        self._port = int(config["http_options"]["port"])

    def up(self) -> None:
        """Model, Ray, Serve, one chat request.

        An interrupted or failed first deploy is removed again; a failed change of the config leaves Ray standing with
        what Serve made of it, and the next deploy gives Serve its config anew.
        """
        with self._folder.locked():
            if not self._taken_over():
                self._refuse_a_busy_port()
                self._refuse_wrong_settings()
                self._prepare_model()
                self._start_anew()

    def _taken_over(self) -> bool:
        """Whether what stands already is what is wanted, or has become it; what cannot is removed."""
        state = self._standing()
        if state is None:
            return False
        if state.config != digest(self._config):
            self._refuse_wrong_settings()  # before Serve gives up what serves for what cannot
            self._prepare_model()
            self._deploy(state, APPLICATION_STARTS_S)
            return True
        if self._answers(state):
            self._tell("Nothing has changed: the chatbot stands, and it answers")
            return True
        try:
            self._deploy(state, RECOVERY_S)
        except NotReady as error:
            self._tell(f"It does not recover by itself, so it is removed. {error}")
            self._remove()
            return False
        return True

    def _start_anew(self) -> None:
        try:
            self._deploy(self._start_ray(), APPLICATION_STARTS_S)
        except BaseException:
            self._tell("Removing what was begun")
            self._remove()
            raise

    def endpoint(self) -> str:
        """The base URL, without /v1."""
        state = read_state(self._folder.state)
        if state is None or not self._processes():
            raise NotReady("The chatbot does not stand on this machine: run `make deploy`.")
        return state.base_url

    def down(self) -> None:
        """End our processes by pid, remove our files; logs stay."""
        if not self._folder.root.exists() and not self._processes():
            return
        with self._folder.locked():
            self._remove()

    def status(self) -> Status:
        """What stands, whether it answers, what it listens on."""
        state, running = read_state(self._folder.state), self._processes()
        serve = None
        if state is not None and running:
            try:
                serve = self._dashboard(state).status(self._application)
            except (httpx.HTTPError, OSError):
                serve = None  # Ray does not answer, which is what is said
        ready = state is not None and serve is not None and is_ready(state.base_url)
        return describe(
            state, serve, ready=ready, running=running, held=listeners.opened_by(running), logs=self._folder.logs
        )

    def _standing(self) -> State | None:
        """What stands and can take a new config; what cannot is removed."""
        state = read_state(self._folder.state)
        if not self._processes():
            if state is not None:
                self._tell("Removing what is left of a deployment that died")
            self._remove()
            return None
        if state is not None and state.launch == self._launch() and self._dashboard(state).is_up():
            return state
        self._tell("Removing what stands: it has died in part, or its code, port or environment is another")
        self._remove()
        return None

    def _answers(self, state: State) -> bool:
        """Whether Serve is content and the front door leads to a replica that is ready."""
        try:
            running = self._dashboard(state).status(self._application).status == "RUNNING"
        except httpx.HTTPError:
            return False
        return running and is_ready(state.base_url)

    def _launch(self) -> str:
        """What a running Ray cannot take over."""
        ours = {name: value for name, value in self._environment.items() if name.startswith("CHATBOT_")}
        return digest([code_digest(PROJECT / "serving"), self._port, self._longest_answer_s(), ours, sys.executable])

    def _refuse_a_busy_port(self) -> None:
        holder = listeners.holder(self._port, LOOPBACK)
        if holder is not None:
            raise Refused(f"Port {self._port} is taken by {holder}: stop it, or deploy with --port on another one.")

    def _refuse_wrong_settings(self) -> None:
        checked = subprocess.run(
            [sys.executable, "-m", "serving", "settings", "--args", "-"],
            input=json.dumps(application(self._config).get("args", {})),
            cwd=PROJECT,
            env=self._child_environment(),
            check=False,
            capture_output=True,
            text=True,
        )
        if checked.returncode:
            raise Refused(checked.stderr.strip().removeprefix("error: "))

    def _prepare_model(self) -> None:
        if self._argument("runner", "kind", default="openvino") != "openvino":
            return
        self._tell("Preparing the model")
        name = self._argument("model", "name", default="smollm2-135m-instruct")
        environment = self._child_environment()
        if cache_dir := self._argument("model", "cache_dir", default=""):
            environment["CHATBOT_MODEL__CACHE_DIR"] = cache_dir
        command = [sys.executable, "-m", "serving", "model", "prepare", name]
        if subprocess.run(command, cwd=PROJECT, env=environment, check=False, stdout=2).returncode:
            raise Refused("The model could not be prepared, for the reason above: mend it and deploy again.")

    def _start_ray(self) -> State:
        self._tell("Starting Ray")
        self._folder.create()
        ports = listeners.free_ports(ray_head.PORTS)
        state = State(
            base_url=f"http://{LOOPBACK}:{self._port}",
            dashboard_url=f"http://{LOOPBACK}:{ports['dashboard']}",
            dashboard_token_file=str(self._folder.token),
            metrics_url=f"http://{LOOPBACK}:{ports['metrics']}/metrics",
            run=time.strftime("%Y-%m-%dT%H-%M-%S"),
            launch=self._launch(),
            config="",
        )
        log = self._folder.logs / state.run / "ray-head.log"
        log.parent.mkdir(parents=True)
        with log.open("wb") as output:
            child = subprocess.Popen(
                ray_head.command(self._folder, ports, num_cpus=os.cpu_count() or 1),
                env=self._child_environment()
                | ray_head.variables(self._folder, ports, longest_answer_s=self._longest_answer_s())
                | {processes.MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C at this terminal is not for Ray
            )
        leader = processes.read(child.pid)
        if leader is not None:
            state = replace(state, leader_pid=leader.pid, leader_started_ticks=leader.started_ticks)
        write_state(self._folder.state, state)
        return state

    def _deploy(self, state: State, limit_s: float) -> None:
        dashboard = self._dashboard(state)
        self._wait(state, RAY_STARTS_S, lambda: None if dashboard.is_up() else "Ray starts")
        if state.config != digest(self._config):
            self._tell("Giving Serve the config")
            write_state(self._folder.state, replace(state, config=""))  # from here on nobody knows what Serve has
            give(dashboard, self._config)
        self._tell("Starting the chatbot")
        self._wait(state, limit_s, lambda: self._missing(state, dashboard))
        self._tell("Asking it something")
        answer = "".join(stream_chat(state.base_url, "Say hello.", sampling={"max_tokens": 16}, api_key=self._api_key))
        if not answer:
            raise NotReady(f"The chatbot answered with nothing: see {self._folder.logs / state.run}.")
        write_state(self._folder.state, replace(state, config=digest(self._config)))

    def _missing(self, state: State, dashboard: Dashboard) -> str | None:
        """What is still waited for; None when a chat would be answered."""
        try:
            status = dashboard.status(self._application)
        except httpx.HTTPError:
            return "Serve starts"
        if status.status == "DEPLOY_FAILED":
            raise NotReady(f"The chatbot did not start: {status.message}")
        if status.status != "RUNNING":
            replicas = ", ".join(replica.state for replica in status.replicas) or "none yet"
            return f"Serve says {status.status}, replicas: {replicas}"
        return None if is_ready(state.base_url) else "HAProxy takes the replica in"

    def _wait(self, state: State, limit_s: float, missing: Callable[[], str | None]) -> None:
        """Until `missing` names nothing. Raises NotReady past the limit, or when Ray has ended."""
        began_s = told_s = time.monotonic()
        while (what := missing()) is not None:
            now_s = time.monotonic()
            if not self._processes():
                raise NotReady(f"Ray has ended by itself: see {self._folder.logs / state.run / 'ray-head.log'}.")
            if now_s - began_s > limit_s:
                raise NotReady(f"Not ready after {limit_s:g} s ({what}): see {self._folder.logs / state.run}.")
            if now_s - told_s > NEWS_S:
                self._tell(f"  {now_s - began_s:.0f} s: {what}")
                told_s = now_s
            time.sleep(POLL_S)

    def _remove(self) -> None:
        """Processes, then files. Raises ClusterError when a process cannot be ended."""
        state = read_state(self._folder.state)
        try:
            processes.end(self._processes)
        except TimeoutError as error:
            raise ClusterError(f"These processes cannot be ended: {error}. Restart the machine.") from error
        if state is not None:
            self._folder.keep_logs(state.run)
        self._folder.remove()

    def _processes(self) -> Sequence[Process]:
        state = read_state(self._folder.state)
        leader = None
        if state is not None and state.leader_pid is not None:
            leader = Leader(state.leader_pid, state.leader_started_ticks)
        return processes.ours(processes.snapshot(), self._mark, leader)

    def _dashboard(self, state: State) -> Dashboard:
        try:
            token = Path(state.dashboard_token_file).read_text(encoding="utf-8")
        except FileNotFoundError:
            token = "removed"  # noqa: S105 - Ray will refuse it, as it should
        return Dashboard(state.dashboard_url, token)

    @property
    def _mark(self) -> str:
        return str(self._folder.root)

    def _child_environment(self) -> dict[str, str]:
        return ray_head.inherited(self._environment, PROJECT)

    def _longest_answer_s(self) -> float:
        return longest_answer_s(self._config, self._environment)

    def _argument(self, group: str, name: str, *, default: str) -> Any:
        return argument(self._config, group, name, environment=self._environment, default=default)


def give(dashboard: Dashboard, config: Config) -> None:
    """Give Serve its config. Raises Refused with Serve's own reason, NotReady when it does not answer."""
    try:
        dashboard.put(config)
    except httpx.HTTPStatusError as error:
        lines = error.response.text.strip().splitlines() or [str(error)]
        raise Refused(f"Serve does not take the config: {lines[-1][:500]}") from error
    except httpx.HTTPError as error:
        raise NotReady(f"Serve did not take the config in time ({error!r}): deploy again.") from error
