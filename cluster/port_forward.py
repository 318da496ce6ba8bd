"""A way from this machine to a Service in the cluster: kubectl's own port-forward, for as long as it is held open."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cluster.errors import NotReady

_GRACE_S = 5.0
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Forward:
    """What to forward, and as whom."""

    kubectl: str
    environment: Mapping[str, str]  # KUBECONFIG and what its credentials need
    namespace: str
    service: str
    port: int
    local_port: int  # 0 for any that is free

    def shown(self) -> str:
        """The command that a person would type."""
        return f"kubectl -n {self.namespace} port-forward service/{self.service} {self.local_port or ''}:{self.port}"

    @contextlib.contextmanager
    def open(self) -> Iterator[str]:
        """The base URL while the block runs. Raises NotReady with kubectl's words where it does not come about."""
        command = [self.kubectl, "-n", self.namespace, "port-forward", f"service/{self.service}"]
        command += ["--address", "127.0.0.1", f"{self.local_port or ''}:{self.port}"]
        with subprocess.Popen(
            command,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child:
            try:
                yield f"http://127.0.0.1:{self._listening(child)}"
            finally:
                child.terminate()
                try:
                    child.wait(_GRACE_S)
                except subprocess.TimeoutExpired:
                    child.kill()

    def _listening(self, child: subprocess.Popen[str]) -> int:
        said = []
        for line in child.stdout or ():
            if found := _FORWARDING.search(line):
                return int(found[1])
            said.append(line.strip())
        raise NotReady(f"{self.shown()} failed: {' '.join(said) or 'it said nothing'}")
