"""The lab as a place to try faults: lay manifests down without deploy's checks, ask the load test for a verdict, clear."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

from cluster import order
from cluster.errors import ClusterError, NotReady
from cluster.explain.snapshot import Snapshot, gather
from cluster.faults.frozen import frozen
from cluster.objects import Manifest
from cluster.order import Phase
from cluster.rehearsal.lab import Lab
from cluster.release import Release
from cluster.wait import Patience, until_ready

POOLS_S = 5.0  # Karpenter looks at new pools within two; a pool that it refuses must not hold the rest back
VERDICT_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class LabBench:
    """Satisfies `cluster.faults.rehearse.Bench`."""

    release: Release
    environment: Mapping[str, str]  # of the load test
    lab: Lab
    components: Collection[str]  # of the lab, by name
    reports: Path  # where the load test makes a folder for each verdict

    @property
    def desired(self) -> Sequence[Manifest]:
        """The manifests as they are, with nothing broken."""
        return self.release.desired

    @contextlib.contextmanager
    def without(self, names: Sequence[str]) -> Iterator[None]:
        """Inside, these components do not run, and these processes of pods hang.

        Raises NotReady where there is none of that name.
        """
        ended = [name for name in names if name in self.components]
        with contextlib.ExitStack() as mended:
            for name in ended:
                self.lab.stop_component(name)
                mended.callback(self.lab.restart_component, name)
            mended.enter_context(frozen([name for name in names if name not in ended], self._first_pid()))
            yield

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
        command += ["--reports", str(self.reports)]
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

    def _first_pid(self) -> int:
        running = self.lab.status()
        if running is None:
            raise NotReady("The lab has ended.")
        return running.pid

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
