"""Processes that no test leaves behind: they end with the test run, however that ends."""

from __future__ import annotations

import ctypes
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def start(command: list[str], *, cwd: Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """With its output as text; the kernel kills it when the test run is gone, which also covers a run that was killed."""
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, env=dict(environment),
        preexec_fn=_die_with_parent,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], *, timeout_s: float = 120) -> tuple[int, str, str]:
    """Its exit code and what it said; one that does not end in time is killed before that is an error."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return process.returncode, out, err


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
