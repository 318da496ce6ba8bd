"""The golden server as a process of its own: on the test's event loop it would share the client's delays."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import golden_oracle


@dataclass(frozen=True)
class GoldenProcess:
    """A running server and its log."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def truths(self) -> list[golden_oracle.Truth]:
        return golden_oracle.read(self.log)


@contextmanager
def golden(folder: Path, **plan: Any) -> Iterator[GoldenProcess]:
    """Start it with `plan`, wait for its port, and end it by closing its standard input."""
    log = folder / "golden.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.golden", "--log", str(log), "--plan", json.dumps(plan)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield GoldenProcess(int(process.stdout.readline()), log)
    finally:
        process.stdin.close()
        process.wait(timeout=60)
        process.stdout.close()
