"""The Locust file as a Locust user knows it: headless, with the web page, with master and workers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.loadtest.test_cli import ROOT, start, write
from tests.support import child
from tests.support.golden_process import golden
from tests.support.ports import free_port

pytestmark = pytest.mark.slow  # each test is a process or three


def locust(*arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CHATBOT_", "LOCUST_"))}
    command = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", *arguments]
    return child.start(command, cwd=ROOT, environment=environment)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and all that it printed."""
    code, out, err = child.finish(process, timeout_s=60)
    return code, out + err


def test_headless_users_chat_and_only_real_requests_are_counted(tmp_path: Path) -> None:
    with golden(tmp_path) as server:
        process = locust("--headless", "--host", server.url, "-u", "3", "-r", "3", "-t", "4s", "--only-summary")
        code, out = ended(process)
        assert code == 0, out
    row = re.search(r"POST\s+/v1/chat/completions\s+(\d+)\s+0\(0.00%\)", out)
    assert row, out
    assert int(row[1]) == len(server.truths())
    names = set(re.findall(r"^(?:POST|GET)\s+(\S+)", out, re.MULTILINE))
    assert names == {"/v1/chat/completions"}


def test_failures_make_locust_end_with_its_own_exit_code(tmp_path: Path) -> None:
    with golden(tmp_path, cycle=["503"]) as server:
        process = locust("--headless", "--host", server.url, "-u", "1", "-t", "2s", "--only-summary")
        code, out = ended(process)
    assert code == 1
    assert "503: golden 503" in out


def test_a_profile_decides_users_and_end(tmp_path: Path) -> None:
    with golden(tmp_path) as server:
        process = locust("--headless", "--host", server.url, "--chat-profile", str(write(tmp_path)), "--only-summary")
        code, out = ended(process)
        assert code == 0, out
    assert len(server.truths()) == 10


def test_the_web_page_starts_a_test_and_lists_the_chat_endpoint(tmp_path: Path) -> None:
    port = free_port()
    with golden(tmp_path) as server:
        process = locust("--host", server.url, "--web-host", "127.0.0.1", "--web-port", str(port))
        try:
            page = _get(f"http://127.0.0.1:{port}/")
            assert "ChatUser" in page.text
            httpx.post(
                f"http://127.0.0.1:{port}/swarm", data={"user_count": 2, "spawn_rate": 2, "host": server.url}
            ).raise_for_status()
            names = _until_listed(f"http://127.0.0.1:{port}/stats/requests")
            stop = httpx.post(f"http://127.0.0.1:{port}/stop")
            if stop.status_code == 405:  # Locust before 2.47
                stop = httpx.get(f"http://127.0.0.1:{port}/stop")
            stop.raise_for_status()
        finally:
            process.terminate()
            ended(process)
    assert names == {"/v1/chat/completions", "Aggregated"}


def test_a_master_with_two_workers_gives_the_totals_of_one_process(tmp_path: Path) -> None:
    stages = [{"name": "only", "duration_s": 3, "rate": {"shape": "constant", "per_s": 10}}]
    profile = write(
        tmp_path,
        stages=stages,
        process="poisson",
        prompts={"words": 9, "answer_tokens": {"kind": "uniform", "least": 3, "most": 9}},
    )
    totals: list[dict[str, Any]] = []
    asked = []
    for count in (0, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        with golden(folder) as server:
            totals.append(_distributed(server.url, profile, folder, workers=count))
        rows = [json.loads(line) for line in server.log.read_text().splitlines()]
        asked.append(sorted(json.dumps([row["messages"], row["max_tokens"], row["seed"]]) for row in rows))
    assert asked[0] == asked[1]
    alone, together = (document["traffic"]["total"] for document in totals)
    for figure in ("started", "outcomes", "offered_per_s", "achieved_per_s"):
        assert alone[figure] == together[figure]
    assert alone["tokens"]["completion"] == together["tokens"]["completion"]
    assert [process["name"] for process in totals[1]["traffic"]["honesty"]["processes"]] != ["the client"]
    assert totals[1]["verdict"] == "pass"


def _distributed(url: str, profile: Path, folder: Path, *, workers: int) -> dict[str, Any]:
    port = free_port()
    master = start(
        "run", profile, "--base-url", url, "--reports", folder / "reports", "-o", "json", "--expect-workers", str(workers),
        "--master-bind-port", str(port), tmp_path=folder,
    )  # fmt: skip
    helpers = [locust("--worker", "--master-host", "127.0.0.1", "--master-port", str(port)) for _ in range(workers)]
    try:
        code, out, err = child.finish(master)
    finally:
        endings = [ended(helper) for helper in helpers]
    assert code == 0, err + out
    assert [code for code, _ in endings] == [0] * workers, endings
    document: dict[str, Any] = json.loads(out)
    return document


def _get(url: str) -> httpx.Response:
    """Ask until somebody listens."""
    limit_s = time.monotonic() + 60
    while time.monotonic() < limit_s:
        with contextlib.suppress(httpx.ConnectError):
            return httpx.get(url)
        time.sleep(0.1)
    return pytest.fail(f"nothing answers at {url}")


def _until_listed(url: str) -> set[str]:
    limit_s = time.monotonic() + 60
    while time.monotonic() < limit_s:
        names = {row["name"] for row in httpx.get(url).json()["stats"]}
        if len(names) > 1:
            return names
        time.sleep(0.2)
    return set()
