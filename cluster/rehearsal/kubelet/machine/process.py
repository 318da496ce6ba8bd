"""One running container: how it is started in namespaces of its own, signalled, entered and waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.rehearsal.kubelet.machine import launcher
from cluster.rehearsal.kubelet.machine.cgroup import Group

_JOIN = 'echo $$ >"$0" && exec "$@"'  # of sh: into a cgroup, then on


class StartFailed(Exception):
    """The command did not start; `str()` is one sentence."""


@dataclass(frozen=True, slots=True)
class Process:
    """A container that runs, or has run."""

    outer: subprocess.Popen[bytes]  # the launcher, which ends as its child does
    first: int  # the container's pid 1, as this machine sees it
    group: Group | None

    @classmethod
    def start(cls, specification: Path, group: Group | None, log: Path) -> Process:
        """Return when the container's command runs. Raises StartFailed where it does not.

        It ends with the thread that calls this: no container outlives its kubelet.
        """
        read, write = os.pipe()
        with open(read, "rb") as errors:
            try:
                with log.open("ab") as output:
                    outer = subprocess.Popen(
                        [sys.executable, "-I", "-S", launcher.__file__, str(specification), str(write)],
                        stdin=subprocess.DEVNULL,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                        pass_fds=[write],
                    )
            finally:
                os.close(write)
            failure = errors.read().decode("utf-8", "replace")
        first = _child(outer.pid)
        if failure:
            outer.wait()
            raise StartFailed(failure)
        return cls(outer, first, group)

    def send(self, number: int) -> None:
        """A signal to the container's pid 1; nothing where it has ended."""
        if self.first and self.outer.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.first, number)

    def kill(self) -> None:
        """End all its processes: they go with their pid 1."""
        self.send(signal.SIGKILL)

    def wait(self) -> int:
        """Its exit code; 128 + n where signal n ended it."""
        code = self.outer.wait()
        return 128 - code if code < 0 else code  # the launcher may be killed, too

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], user: tuple[int, int], timeout_s: float
    ) -> tuple[int, str]:
        """Exit code and output of a command in the container. Raises subprocess.TimeoutExpired, which ends it."""
        uid, gid = user
        enter = ["nsenter", f"--target={self.first}", "--mount", "--net", "--pid", "--uts", "--ipc", "--cgroup"]
        enter += ["--root", "--wd", f"--setuid={uid}", f"--setgid={gid}", "--", *command]
        with subprocess.Popen(
            _joined(self.group, enter),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as child:
            try:
                output, _ = child.communicate(timeout=timeout_s)
            except BaseException:
                os.killpg(child.pid, signal.SIGKILL)  # also what runs in the container's pid namespace
                raise
        return child.returncode, output.decode("utf-8", "replace").strip()


def _joined(group: Group | None, command: list[str]) -> list[str]:
    return command if group is None else ["/bin/sh", "-c", _JOIN, str(group.processes), *command]


def _child(pid: int) -> int:
    """The one child of a launcher; 0 where it has ended already."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    except FileNotFoundError:
        return 0
    return int(children[0]) if children else 0
