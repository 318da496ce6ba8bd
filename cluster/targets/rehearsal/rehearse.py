"""The whole chain once, phase by phase: lab, deploy, chat, verdict, Locust Jobs, destroy; with what each took."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cluster import kustomize
from cluster.chat_request import stream_chat
from cluster.errors import ClusterError, NotReady
from cluster.rehearsal.lab import Lab
from cluster.rehearsal.scenario import Scenario
from cluster.settings import Settings
from cluster.targets import Options, Tell, rehearsal
from cluster.targets.rehearsal.locust import LocustJobs
from cluster.targets.rehearsal.memory import Peak

SCHEMA = "chatbot.rehearsal/v1"
PROFILE = "rehearsal-step"
PROJECT = Path(__file__).resolve().parents[3]
VERDICTS = {0: "pass", 1: "slo-failed", 2: "autoscaling-failed", 3: "void"}
CHILD_GRACE_S = 30.0

_AUTOSCALING_FAILED, _VOID = 2, 3
_ITS_OWN_PHASES = ("deploy", "chat", "destroy")  # what fails in these is the chatbot's failure


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of a rehearsal that is over."""

    name: str
    seconds: float


@dataclass
class Rehearsal:
    """One run; what is known of it fills up while it goes on."""

    scenario: Scenario
    settings: Settings
    tell: Tell
    reports: Path
    told_to: int | None = None  # the file descriptor to which the load test tells its verdict; None: our output
    phases: list[Phase] = field(default_factory=list)
    verdict_code: int | None = None  # of `loadtest verify`; None where it never came so far
    report: Path | None = None
    answer: str = ""
    locust: list[str] = field(default_factory=list)
    memory_peak_bytes: int = 0
    memory_failure: str = ""  # what kept us from looking at the memory: then the peak is only of until then
    ended: list[str] = field(default_factory=list)  # the lab's components that had ended by themselves when it failed
    logs: Path | None = None  # of them all, kept because it failed
    failure: str = ""  # the sentence of the phase that failed
    failed_in: str = ""  # and its name

    @property
    def exit_code(self) -> int:
        """Of `loadtest verify`; 2 where the chatbot does not come up, does not answer or does not go away.

        Load that comes to no verdict, or to no totals after a good one, says nothing of the chatbot: 3, void.
        """
        if not self.failure:
            return self.verdict_code or 0
        return _AUTOSCALING_FAILED if self.failed_in in _ITS_OWN_PHASES else self.verdict_code or _VOID

    @property
    def verdict(self) -> str:
        """One word."""
        return VERDICTS.get(self.exit_code, "void")

    def document(self) -> dict[str, Any]:
        """The JSON output."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "failure": self.failure or None,
            "scenario": self.scenario.description,
            "speed": self.scenario.speed,
            "runner": self.scenario.runner,
            "phases": [{"name": phase.name, "seconds": round(phase.seconds, 1)} for phase in self.phases],
            "seconds": round(sum(phase.seconds for phase in self.phases), 1),
            "memory_peak_bytes": None if self.memory_failure else self.memory_peak_bytes,
            "report": str(self.report) if self.report else None,
            "ended_components": self.ended,
            "logs": str(self.logs) if self.logs else None,
            "answer": self.answer,
            "locust": self.locust,
        }

    def on_the_lab(self, *, keep: bool) -> None:
        """Everything between the lab's start and its end. A phase that fails is told in `failure`, not raised."""
        target = rehearsal.open_target(self.settings, self.tell, Options())
        lab = rehearsal.running(self.settings)
        with Peak(lab.pid, os.getpid()) as peak:  # the load test is ours, not the lab's
            try:
                with self.phase("deploy"):
                    target.up()
                with self.phase("chat"):
                    self.answer = self._chat(target.endpoint())
                with self.phase("verify"):
                    self._verify()
                with self.phase("Locust Jobs"):
                    self.locust = self._locust(target, lab.kubeconfig)
                if not keep:
                    with self.phase("destroy"):
                        target.down()
            except ClusterError as error:
                self.failure, self.failed_in = str(error), self.phases[-1].name
            finally:
                self._note_memory(peak)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Tell of it, and keep what it took, however it ends."""
        self.tell(f"== {name}")
        started_s = time.monotonic()
        try:
            yield
        finally:
            self.phases.append(Phase(name, time.monotonic() - started_s))

    def keep_evidence(self, lab: Lab) -> None:
        """What goes with the lab: what its components have logged, and which of them have ended by themselves."""
        kept = self.reports / f"rehearsal-logs-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
        try:
            shutil.copytree(lab.logs, kept)
            self.logs = kept
        except OSError as error:
            self.tell(f"What the lab's components have logged could not all be kept in {kept}: {error}")
        try:
            running = lab.status()
        except ClusterError as error:
            self.tell(f"The lab does not say which of its components run: {error}")
            return
        parts = running.parts if running else ()
        self.ended = [f"{part.name} (exit code {part.exit_code})" for part in parts if not part.is_as_meant]
        if running is None:
            self.ended = ["the lab itself"]

    def _note_memory(self, peak: Peak) -> None:
        self.memory_peak_bytes = peak.peak_bytes
        if peak.failure is not None:
            self.memory_failure = f"{type(peak.failure).__name__}: {peak.failure}"
            self.tell(f"The memory was not watched to the end, so its peak is not known: {self.memory_failure}")

    def _chat(self, base_url: str) -> str:
        sampling = {"max_tokens": 32}
        pieces = list(
            stream_chat(base_url, "What is rehearsed here?", sampling=sampling, api_key=self.settings.api_key)
        )
        if len(pieces) < 2:
            raise NotReady(f"The answer was not streamed: it came in {len(pieces)} pieces.")
        return "".join(pieces)

    def _verify(self) -> None:
        before = self._reports()
        command = [sys.executable, "-m", "loadtest", "verify", PROFILE, "--target", rehearsal.NAME]
        code = run_child([*command, "--reports", str(self.reports)], self._environment(), told_to=self.told_to)
        self.report = max(self._reports() - before, default=None)
        if self.report is None or code not in VERDICTS:  # a Python that crashes ends with 1, too
            raise NotReady(f"The load test ended with exit code {code} and came to no verdict.")
        self.verdict_code = code

    def _locust(self, target: rehearsal.RehearsalTarget, kubeconfig: Path) -> list[str]:
        manifests = kustomize.build(rehearsal.CLUSTERS / rehearsal.NAME / "loadtest").fill(rehearsal.VARIABLES)
        environment = self._environment() | {"KUBECONFIG": str(kubeconfig)}
        return LocustJobs(target.cluster.release.stage, manifests, environment, self.tell).run()

    def _reports(self) -> set[Path]:
        return set(self.reports.glob(f"{PROFILE}-*"))

    def _environment(self) -> dict[str, str]:
        key = {"CHATBOT_LOADTEST_API_KEY": self.settings.api_key} if self.settings.api_key else {}
        return {**self.settings.environment, "PYTHONPATH": str(PROJECT), **key}


def run_child(
    command: list[str],
    environment: Mapping[str, str],
    *,
    told_to: int | None = None,
    popen: Callable[..., Any] = subprocess.Popen,
) -> int:
    """Run it in our terminal and return its exit code; when we are interrupted, it is, too, and may finish its report.

    `told_to`: where its output goes in the place of ours.
    """
    child = popen(command, env=dict(environment), cwd=PROJECT, stdout=told_to)
    try:
        return int(child.wait())
    except BaseException:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(CHILD_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise
