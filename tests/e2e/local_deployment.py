"""A deployment on this machine through the command line, in a cache folder and on a port of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PROJECT = Path(__file__).resolve().parents[2]
PACED = Path(__file__).with_name("paced.yaml")
LIMIT_S = 240.0


@dataclass(frozen=True)
class LocalDeployment:
    """The commands, as a user types them."""

    cache_home: Path
    port: int
    settings: Sequence[str] = ()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
        return kept | {"XDG_CACHE_HOME": str(self.cache_home), "PYTHONPATH": str(PROJECT)}

    def deploy(self, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.command(*self.deploy_arguments(), *more, **variables)

    def deploy_arguments(self) -> list[str]:
        simulated = ["--set", "runner.kind=simulated", "--set", f"runner.profile={PACED}"]
        return ["deploy", "local", "--port", str(self.port), *simulated, *self.settings]

    def destroy(self) -> subprocess.CompletedProcess[str]:
        return self.command("destroy", "local")

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.command("status", "local", "-o", "json").stdout)
        return document

    def command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cluster", *arguments],
            cwd=PROJECT,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that the test wants to interrupt."""
        return subprocess.Popen(
            [sys.executable, "-m", "cluster", *arguments],
            cwd=PROJECT,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
        )

    def replicas(self) -> list[dict[str, Any]]:
        """Those that run."""
        return [replica for replica in self.status()["facts"]["replicas"] if replica["state"] == "RUNNING"]

    def model(self) -> str:
        return str(httpx.get(f"{self.base_url}/v1/models", timeout=60).json()["data"][0]["id"])

    def family(self) -> set[tuple[int, int]]:
        """Every process that `status` knows, and every marked one: pid and time of start."""
        known = [int(process["pid"]) for process in self.status()["facts"]["processes"]]
        starts = ((pid, _started_ticks(pid)) for pid in {*known, *marked_pids(self.cache_home)})
        return {(pid, ticks) for pid, ticks in starts if ticks is not None}

    def files(self) -> list[Path]:
        """What is left in the cache folder, logs excepted, and the link into it."""
        root = self.cache_home / "trainium-chatbot" / "local"
        inside = [path for path in root.rglob("*") if path.is_file() and "logs" not in path.relative_to(root).parts]
        return inside + self.links()

    def links(self) -> list[Path]:
        """Ways from /tmp into the cache folder, found without the product's code."""
        links = (path for path in Path("/tmp").iterdir() if path.is_symlink())  # noqa: S108 - where the product puts it
        return [path for path in links if Path(os.readlink(path)).is_relative_to(self.cache_home)]

    def exported(self, name: str) -> float | None:
        """The sum of what Ray's exporter says of a metric; None while it says nothing."""
        text = httpx.get(self.status()["facts"]["metrics"], timeout=60).text
        values = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, values)) if values else None


def marked_pids(cache_home: Path) -> list[int]:
    """Processes that a deployment in this folder has started, found without the product's code."""
    mark = f"CHATBOT_LOCAL_RUN={cache_home}".encode()
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and mark in _environ(entry)]


def alive(family: Iterable[tuple[int, int]]) -> list[int]:
    """Those of them that have not ended; a pid that was given anew does not count."""
    return [pid for pid, ticks in family if _started_ticks(pid) == ticks]


def _started_ticks(pid: int) -> int | None:
    """Since boot; None of a process that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _environ(entry: Path) -> bytes:
    try:
        return (entry / "environ").read_bytes()
    except OSError:  # ended meanwhile
        return b""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def interrupt(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
