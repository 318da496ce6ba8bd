"""What ran this test: versions and the machine, for the report."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def collect() -> dict[str, Any]:
    """Our version and revision, Locust's, Python's, and the client's cores."""
    return {
        "loadtest": _version("trainium-chatbot"),
        "git_revision": _revision(),
        "locust": _version("locust"),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "client_cores": os.cpu_count(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None  # run from a checkout


def _revision() -> str | None:
    """Of the checkout that this file is in; None outside one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
