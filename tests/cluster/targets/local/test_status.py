from __future__ import annotations

import re
from pathlib import Path

from cluster.commands.status import as_text
from cluster.targets import Status
from cluster.targets.local.dashboard import Replica, ServeStatus
from cluster.targets.local.processes import Process
from cluster.targets.local.state import State
from cluster.targets.local.status import describe

STATE = State(
    "http://127.0.0.1:8000",
    "http://127.0.0.1:8265",
    "/token",
    "run",
    "launch",
    "config",
    metrics_url="http://127.0.0.1:9/metrics",
)
RAY = Process(5, 5, 1, "raylet")
RUNNING = ServeStatus("RUNNING", "", 1, (Replica("a", "RUNNING", 6),))


def status(serve: ServeStatus | None, *, ready: bool, running: bool = True) -> Status:
    processes = [RAY] if running else []
    return describe(STATE if running else None, serve, ready=ready, running=processes, held=[], logs=Path("/logs"))


def test_running_and_ready_is_healthy() -> None:
    found = status(RUNNING, ready=True)
    assert found.healthy
    assert found.base_url == "http://127.0.0.1:8000"
    assert found.facts["logs"] == "/logs/run"


def test_where_prometheus_finds_the_figures_is_told_while_it_runs() -> None:
    found = status(RUNNING, ready=True)
    assert found.facts["metrics"] == "http://127.0.0.1:9/metrics"
    assert re.search(r"^metrics +http://127\.0\.0\.1:9/metrics$", as_text(found), re.MULTILINE)
    assert status(None, ready=False, running=False).facts["metrics"] is None


def test_a_front_door_that_leads_nowhere_is_not_healthy() -> None:
    assert not status(RUNNING, ready=False).healthy


def test_processes_without_an_answer_from_ray_are_named_as_such() -> None:
    found = status(None, ready=False)
    assert found.deployed
    assert "Ray does not answer" in found.summary


def test_nothing_is_not_deployed() -> None:
    found = status(None, ready=False, running=False)
    assert not found.deployed
    assert found.base_url is None
    assert "make deploy" in found.summary


def test_text_shows_the_replicas_and_counts_long_lists() -> None:
    text = as_text(
        Status(
            True,
            True,
            "http://x",
            "Fine.",
            {"replicas": [{"id": "a", "pid": 6}], "many": list(range(99)), "none": None},
        )
    )
    assert "id a  pid 6" in text
    assert "99; -o json lists them" in text
    assert "none" not in text
