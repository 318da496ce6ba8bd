"""What Ray Serve costs on a streamed token's way: CPU microseconds and time to first token, by the side of plain uvicorn.

Two apps, each by uvicorn alone and behind Serve, all standing at once and measured in turn:
`canned`, a FastAPI route whose events cost nothing to make, so that the ratio is that of the ways and of nothing else;
`chatbot`, our whole app on the simulated runner that takes no time, so that the ratio is what a user of ours would see.

CPU is that of every process of the path (HAProxy, replicas, controller, agents), its idle share subtracted, by the
kernel's nanosecond accounts; the client's is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench import light_client
from cluster.settings import from_environment
from cluster.targets import Options
from cluster.targets.local import listeners
from cluster.targets.local.serve_config import load_serve_config, merge
from cluster.targets.local.target import LocalTarget

STREAMS = (1, 8, 32)
TOKENS = 200  # of one answer
ANSWERS = 32  # of one measurement, `streams` at a time
ROUNDS = 5
IDLE_S = 3.0
PROJECT = Path(__file__).resolve().parents[1]
CHATBOT: Mapping[str, Mapping[str, Any]] = {
    "runner": {"kind": "simulated", "profile": "instant", "slots": 32},
    "engine": {"queue_length": 32},
    "deployment": {"autoscaling_config": {"max_replicas": 1}, "ray_actor_options": {"num_cpus": 0.5}},
}
CHAT = {
    "model": "simulated-instant",
    "messages": [{"role": "user", "content": "Tell me."}],
    "stream": True,
    "max_tokens": TOKENS,
    "ignore_eos": True,
}


@dataclass
class Way:
    """One way of one app, and what has been measured of it by number of streams."""

    app: str
    by: str
    port: int
    target: str
    body: bytes
    pids: Callable[[], Sequence[int]]
    idle_share: float = 0.0  # cores that it takes when nothing is asked
    cpu_us: dict[int, list[float]] = field(default_factory=dict)  # per token
    ttft_ms: dict[int, list[float]] = field(default_factory=dict)

    async def measure(self, streams: int) -> None:
        """One round."""
        pids = self.pids()
        began_s, began_cpu_s = time.monotonic(), cpu_s(pids)
        first_s = await _ask(self, streams)
        took_s, took_cpu_s = time.monotonic() - began_s, cpu_s(pids) - began_cpu_s
        busy_s = took_cpu_s - self.idle_share * took_s
        self.cpu_us.setdefault(streams, []).append(busy_s / (ANSWERS * TOKENS) * 1e6)
        self.ttft_ms.setdefault(streams, []).append(statistics.median(first_s) * 1e3)


def rows() -> list[Mapping[str, object]]:
    """One row for each app and number of streams."""
    with tempfile.TemporaryDirectory(prefix="chatbot-bench-") as folder, ExitStack() as stack:
        ways = _stand(stack, Path(folder))
        for way in ways:
            way.idle_share = _idle_share(way.pids())
        asyncio.run(_rounds(ways))
    return [_row(ways, app, streams) for app in ("canned", "chatbot") for streams in STREAMS]


async def _rounds(ways: Sequence[Way]) -> None:
    for way in ways:
        await _ask(way, max(STREAMS))  # warm
    for _ in range(ROUNDS):
        for streams in STREAMS:
            for way in ways:
                await way.measure(streams)


def _row(ways: Sequence[Way], app: str, streams: int) -> Mapping[str, object]:
    plain, serve = (next(p for p in ways if (p.app, p.by) == (app, by)) for by in ("uvicorn", "serve"))
    medians = {
        f"{name}_{unit}": statistics.median(values[streams])
        for name, way in (("uvicorn", plain), ("serve", serve))
        for unit, values in (("cpu_us_per_token", way.cpu_us), ("ttft_ms", way.ttft_ms))
    }
    ratios = [s / p for s, p in zip(serve.cpu_us[streams], plain.cpu_us[streams], strict=True)]
    return {
        "app": app,
        "streams": streams,
        **medians,
        "cpu_ratio": statistics.median(ratios),
        "cpu_ratio_least": min(ratios),
        "cpu_ratio_most": max(ratios),
        "ttft_ratio": medians["serve_ttft_ms"] / medians["uvicorn_ttft_ms"],
        "rounds": ROUNDS,
        "weight_bits": None,  # nothing here has weights
        "kv_bits": None,
    }


def _stand(stack: ExitStack, folder: Path) -> list[Way]:
    """Four ways, all up."""
    serve_port = listeners.free_ports(["serve"])["serve"]
    settings = from_environment({**os.environ, "XDG_CACHE_HOME": str(folder)})
    target = LocalTarget(
        settings,
        lambda step: print(f"  {step}", file=sys.stderr),
        merge(
            load_serve_config(Options(serve_port, CHATBOT), settings.environment),
            {
                "applications": [
                    {"name": "canned", "route_prefix": "/canned", "import_path": "bench.canned_stream:build_app"}
                ]
            },
        ),
    )
    stack.callback(target.down)
    target.up()
    processes = target.status().facts["processes"]
    deployment = [int(process["pid"]) for process in processes]
    canned, chat = f"/stream?tokens={TOKENS}", "/v1/chat/completions"
    body = json.dumps(CHAT).encode()
    alone = stack.enter_context(_server(["bench.canned_stream", "{port}"], ready="/openapi.json"))
    ours = stack.enter_context(_server(["serving", "run", "--port", "{port}", *_flags()], ready="/ready"))
    return [
        Way("canned", "uvicorn", alone[0], canned, b"", lambda: [alone[1]]),
        Way("canned", "serve", serve_port, f"/canned{canned}", b"", lambda: deployment),
        Way("chatbot", "uvicorn", ours[0], chat, body, lambda: [ours[1]]),
        Way("chatbot", "serve", serve_port, chat, body, lambda: deployment),
    ]


def _flags() -> list[str]:
    groups = {group: values for group, values in CHATBOT.items() if group != "deployment"}
    named = [f"{group}.{name}={value}" for group, values in groups.items() for name, value in values.items()]
    return [word for setting in [*named, "runner.threads=1"] for word in ("--set", setting)]


@contextmanager
def _server(module: Sequence[str], *, ready: str) -> Iterator[tuple[int, int]]:
    """A server of its own process; its port and pid."""
    port = listeners.free_ports(["http"])["http"]
    command = [sys.executable, "-m", *(word.format(port=port) for word in module)]
    child = subprocess.Popen(
        command, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)}, stderr=subprocess.DEVNULL
    )
    try:
        _wait(f"http://127.0.0.1:{port}{ready}", child)
        yield port, child.pid
    finally:
        child.terminate()
        child.wait()


def _wait(url: str, child: subprocess.Popen[bytes]) -> None:
    while child.poll() is None:
        if _answers(url):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the server of {url} ended by itself with {child.returncode}")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


async def _ask(way: Way, streams: int) -> list[float]:
    """ANSWERS answers, `streams` at a time; seconds to the first event of each."""

    async def client(answers: int) -> list[float]:
        return [await _answer(way) for _ in range(answers)]

    of_each = await asyncio.gather(*(client(ANSWERS // streams) for _ in range(streams)))
    return [first_s for one in of_each for first_s in one]


async def _answer(way: Way) -> float:
    """One whole answer; seconds to its first event."""
    _, first_s = await light_client.post("127.0.0.1", way.port, way.target, way.body)
    return first_s


def cpu_s(pids: Sequence[int]) -> float:
    """CPU seconds of these processes so far, all threads; a process that has ended counts nothing."""
    return sum(_thread_ns(file) for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _thread_ns(schedstat: Path) -> int:
    try:
        return int(schedstat.read_text().split()[0])
    except OSError:  # the thread has ended
        return 0


def _idle_share(pids: Sequence[int]) -> float:
    began_s = cpu_s(pids)
    time.sleep(IDLE_S)
    return (cpu_s(pids) - began_s) / IDLE_S


def main(argv: Sequence[str]) -> int:
    """Print the rows as JSON."""
    argparse.ArgumentParser(prog="python -m bench.serve_path", description=(__doc__ or "").splitlines()[0]).parse_args(
        argv
    )
    print(json.dumps(rows(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
