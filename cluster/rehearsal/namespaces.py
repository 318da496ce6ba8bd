"""The namespaces that a lab lives in: how they are made, whether they are allowed, and who is who across them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from cluster.errors import Refused

# Process 1 of the new pid namespace is killed when unshare is, and with it everything that is in there.
UNSHARE = (
    "unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc", "--",
)  # fmt: skip
# The last is for a pod: KubeRay's readiness probe of a worker runs it there, and a pod's programs are this machine's.
_TOOLS = {"unshare": "util-linux", "mount": "mount", "ip": "iproute2", "wget": "wget"}


def refuse_without_namespaces() -> None:
    """Raises Refused, before anything is started, where this machine or this user may not make them."""
    for tool, package in _TOOLS.items():
        if shutil.which(tool) is None:
            raise Refused(f"The rehearsal needs the program `{tool}`: install the package {package}.")
    # With what the lab does first in them: a container's root may make a network namespace and no bridge in it.
    tried = "ip link add rehearsal0 type bridge && mount -t tmpfs tmpfs /run"
    done = subprocess.run([*UNSHARE, "sh", "-c", tried], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Refused(
            "The rehearsal needs the right to make network, mount and pid namespaces, which root on an ordinary Linux has: "
            f"here {said}"
        )


def host_pids(parent: int) -> dict[int, int]:
    """The children of a process in a pid namespace of its own: pid in there -> pid as we see it."""
    found: dict[int, int] = {}
    for children in Path(f"/proc/{parent}/task").glob("*/children"):
        for pid in map(int, _text(children).split()):
            for line in _text(Path(f"/proc/{pid}/status")).splitlines():
                if line.startswith("NSpid:"):
                    found[int(line.split()[-1])] = pid
    return found


def _text(path: Path) -> str:
    """Empty where the process has gone meanwhile."""
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
