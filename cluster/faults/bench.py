"""The lab as a place to try faults: lay manifests down without deploy's checks, ask the load test for a verdict, clear."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, cast

from cluster import order
from cluster.errors import ClusterError, NotReady
from cluster.explain.snapshot import Snapshot, gather
from cluster.faults.frozen import frozen
from cluster.objects import Manifest
from cluster.order import Phase
from cluster.release import Release
from cluster.wait import Patience, until_ready

POOLS_S = 5.0  # Karpenter looks at new pools within two; a pool that it refuses must not hold the rest back
VERDICT_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class LabBench:
    """Satisfies `cluster.faults.rehearse.Bench`."""

    release: Release
    environment: Mapping[str, str]  # of the load test
    lab_pid: int  # of the lab's first process
    components: Mapping[str, int]  # pid by name

    @property
    def desired(self) -> Sequence[Manifest]:
        """The manifests as they are, with nothing broken."""
        return self.release.desired

    def frozen(self, names: tuple[str, ...]) -> AbstractContextManager[None]:
        """Inside, these components or processes hang. Raises NotReady where there is none of that name."""
        return frozen(names, self.components, self.lab_pid)

    def lay_down(self, manifests: Sequence[Manifest]) -> None:
        """Apply all of them in order, whatever lint, admission's warnings or readiness say, as `kubectl apply` does.

        Raises ClusterError where the API server itself refuses one.
        """
        ordered = sorted(manifests, key=lambda m: order.position(m.key))
        ground = [manifest for manifest in ordered if order.phase(manifest.key) <= Phase.NODE_POOL]
        self._apply(ground)
        self._give_pools_a_moment(ground)
        self._apply(ordered[len(ground) :])

    def verdict(self, arguments: Sequence[str]) -> dict[str, Any]:
        """What `python -m loadtest` says of the chatbot that stands here. Raises NotReady where it says nothing."""
        command = [sys.executable, "-m", "loadtest", *arguments, "--target", "rehearsal", "-o", "json"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=self.environment, timeout=VERDICT_TIMEOUT_S
            )
            return cast("dict[str, Any]", json.loads(done.stdout))
        except subprocess.TimeoutExpired as error:
            raise NotReady(f"The load test did not end within {VERDICT_TIMEOUT_S:.0f} s.") from error
        except ValueError as error:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise NotReady(f"The load test came to no verdict: {said}") from error

    def snapshot(self) -> Snapshot:
        """What explain would look at now."""
        return gather(self.release.stage.api, self.release.namespace, datetime.now(timezone.utc))

    def clear(self) -> None:
        """Remove everything that was laid down, nodes included. Raises NotReady with what does not go."""
        self.release.destroy()

    def _apply(self, manifests: Sequence[Manifest]) -> None:
        stage = self.release.stage
        for manifest in manifests:
            resource = stage.resource(manifest.api_version, manifest.kind)
            stage.api.apply(stage.body(manifest, stage.live(manifest)), resource)

    def _give_pools_a_moment(self, manifests: Sequence[Manifest]) -> None:
        for pool in (m for m in manifests if m.kind == "NodePool"):
            resource = self.release.stage.resource(pool.api_version, pool.kind)
            try:
                until_ready(self.release.stage.api, resource, pool.key, Patience(POOLS_S))
            except ClusterError:
                return
