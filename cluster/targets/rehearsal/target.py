"""The chatbot on the lab of this machine: a cluster's verbs, its open front door, and a state file for the load test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cluster.cluster_target import ClusterTarget
from cluster.targets import Status
from cluster.targets.rehearsal import state

NAME = "rehearsal"


@dataclass(frozen=True, slots=True)
class RehearsalTarget:
    """Satisfies `cluster.targets.Target`."""

    cluster: ClusterTarget
    state_file: Path
    state: Callable[[], Mapping[str, Any]]
    name: str = NAME

    def up(self) -> None:
        """As on every cluster; the load test finds it afterwards. Raises Refused, NotReady."""
        self.cluster.up()
        state.write(self.state_file, self.state())

    def endpoint(self) -> str:
        """The base URL of the HTTP face, as long as the lab runs. Raises NotReady where nothing stands."""
        return self.cluster.endpoint()

    def status(self) -> Status:
        """What stands there, in explain's words."""
        status = self.cluster.status()
        return replace(status, base_url=self.cluster.endpoint() if status.deployed else None)

    def down(self) -> None:
        """Remove what deploys made, nodes included; the lab stays. Raises NotReady with what is left."""
        self.state_file.unlink(missing_ok=True)
        self.cluster.down()
