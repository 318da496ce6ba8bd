from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.rehearsal.component import Component, answers, start_all
from cluster.rehearsal.processes import Processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def component(name: str, seen: list[str], *, after: tuple[str, ...] = (), command: list[str] = SLEEP) -> Component:
    def is_ready() -> bool:
        seen.append(f"{name} is asked")
        return True

    return Component(name, command, {}, is_ready, after=after, prepare=lambda: seen.append(f"{name} is prepared"))


def test_each_is_started_when_what_it_waits_for_is_ready_and_all_are_waited_for(tmp_path: Path) -> None:
    seen: list[str] = []
    processes = Processes(tmp_path)
    start_all([component("a", seen), component("b", seen), component("c", seen, after=("a",))], processes)
    running = list(processes.pids())
    processes.stop_all()
    assert running == ["a", "b", "c"]
    assert seen == ["a is prepared", "b is prepared", "a is asked", "c is prepared", "b is asked", "c is asked"]


def test_what_is_absent_is_not_waited_for(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    start_all([component("c", [], after=("a",))], processes)
    assert list(processes.pids()) == ["c"]
    processes.stop_all()


def test_what_ends_instead_of_becoming_ready_is_an_error_with_its_log(tmp_path: Path) -> None:
    broken = Component("a", [sys.executable, "-c", "raise SystemExit('no room')"], {}, lambda: False)
    processes = Processes(tmp_path)
    with pytest.raises(ClusterError, match=r"a ended with exit code 1:\nno room"):
        start_all([broken], processes)
    processes.stop_all()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/ready" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def test_ready_is_what_answers_with_200_and_nothing_else() -> None:
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        found = [answers(f"{base}/ready")(), answers(f"{base}/other")()]
        server.shutdown()
        thread.join()
    assert found == [True, False]
    assert not answers(f"{base}/ready")()
