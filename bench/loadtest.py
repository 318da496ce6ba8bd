"""Can the load test be believed: its latencies beside those that the golden server wrote down, and how much it can send.

The client is `python -m loadtest run` in a process of its own, the server another; both share the machine, so a busy
machine shows as lag. The server's figures come from its log through an oracle that shares no code with the client.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.golden_oracle import Truth, percentile
from tests.support.golden_process import golden

Row = Mapping[str, object]
TOKEN_S = 1 / 30
LARGEST_DIFFERENCE_MS = 2.0
LARGEST_LAG_MS = 20.0


def rows() -> list[Row]:
    """Accuracy under 50 streams, capacity at 300 streams, and a stall that must not be hidden."""
    return [*_accuracy(), _capacity(), _stall()]


def _accuracy() -> list[Row]:
    """25 requests a second of two seconds each are 50 streams; users in lockstep would measure their own bursts."""
    stages = [
        {"name": "rising", "duration_s": 3, "warmup": True, "rate": {"shape": "constant", "per_s": 25}},
        {"name": "fifty", "duration_s": 15, "rate": {"shape": "constant", "per_s": 25}},
    ]
    document, truths = _run("accuracy", loop="open", stages=stages, tokens=60)
    truths = truths[document["traffic"]["stages"][0]["started"] :]
    latency = document["traffic"]["total"]["latency"]
    served = {"ttft_sent_s": [t.ttft_s for t in truths], "itl_s": [gap for t in truths for gap in t.gaps_s]}
    return [
        _compared(f"{name.removesuffix('_s')} {percent}, 50 streams", latency[name][percent], percentile(values, rank))
        for name, values in served.items()
        for percent, rank in (("p50", 50.0), ("p99", 99.0))
    ]


def _compared(case: str, client_s: float, server_s: float) -> Row:
    difference_ms = (client_s - server_s) * 1e3
    return {
        "case": case,
        "client_ms": client_s * 1e3,
        "server_ms": server_s * 1e3,
        "ratio": client_s / server_s,
        "difference_ms": difference_ms,
        "limit_ms": LARGEST_DIFFERENCE_MS,
        "kept": abs(difference_ms) <= LARGEST_DIFFERENCE_MS,
    }


def _capacity() -> Row:
    """300 streams of 30 tokens a second: 75 requests a second of 120 tokens each."""
    stages = [
        {"name": "rising", "duration_s": 5, "warmup": True, "rate": {"shape": "constant", "per_s": 75}},
        {"name": "full", "duration_s": 15, "rate": {"shape": "constant", "per_s": 75}},
    ]
    document, _ = _run("capacity", loop="open", stages=stages, tokens=120)
    traffic = document["traffic"]
    (process,) = traffic["honesty"]["processes"]
    lag_ms = traffic["honesty"]["schedule_lag_s"]["p99"] * 1e3
    return {
        "case": f"schedule lag p99, {max(document['series']['in_flight'])} streams, one process",
        "client_ms": lag_ms,
        "limit_ms": LARGEST_LAG_MS,
        "kept": lag_ms <= LARGEST_LAG_MS and document["verdict"] != "void",
        "tokens_per_s": max(document["series"]["tokens_per_s"]),
        "loop_lag_p99_ms": process["loop_lag_s"]["p99"] * 1e3,
        "cpu_share_p95": process["cpu_share_p95"],
    }


def _stall() -> Row:
    """A server that stands still for 10 s at 20 requests a second: who counts from sent after a wait would see one."""
    stages = [{"name": "steady", "duration_s": 15, "rate": {"shape": "constant", "per_s": 20}}]
    document, _ = _run("stall", loop="open", stages=stages, tokens=4, stall=[2.0, 12.0], slo={"ttft_s": 0.5})
    affected = document["traffic"]["total"]["goodput"]["missed"].get("ttft_s", 0)
    return {
        "case": "requests later than 0.5 s in a 10 s stall at 20/s",
        "affected": affected,
        "expected": 190,  # 200 were due in it; those of its last half second waited less
        "kept": 185 <= affected <= 205,  # the 200 that the stall held back take a moment to be answered
    }


def _run(
    name: str,
    *,
    loop: str,
    stages: list[dict[str, Any]],
    tokens: int,
    stall: list[float] | None = None,
    slo: Any = None,
) -> tuple[dict[str, Any], list[Truth]]:
    """One run of the command line against a golden server of its own: the report, and what the server knows."""
    profile = {
        "name": name, "description": "Of the bench.", "seed": 1, "loop": loop, "process": "even", "stages": stages,
        "prompts": {"words": 12, "answer_tokens": tokens}, "sending": {"timeout_s": 60, "in_flight_cap": 1000},
        "slo": slo or {},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile.yaml"
        path.write_text(yaml.safe_dump(profile), "utf-8")
        with golden(Path(folder), ttft_s=0.05, itl_s=TOKEN_S, stall=stall, split=False) as server:
            done = subprocess.run(
                [sys.executable, "-m", "loadtest", "run", str(path), "--base-url", server.url, "--reports", folder, "-o", "json"],
                stdout=subprocess.PIPE, check=False, env={**os.environ, "XDG_CACHE_HOME": folder},
            )  # fmt: skip
            return json.loads(done.stdout), server.truths()
