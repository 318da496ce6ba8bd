"""The lab as a place to try faults: lay manifests down without deploy's checks, ask the load test for a verdict, clear."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast

from cluster import order
from cluster.errors import ClusterError, NotReady
from cluster.explain.snapshot import Snapshot, condition, gather
from cluster.faults.frozen import frozen
from cluster.objects import Manifest, dig, mappings, text
from cluster.order import Phase
from cluster.rehearsal.lab import Lab
from cluster.release import Release
from cluster.transport import ApiError
from cluster.wait import Patience, until_ready

POOLS_S = 5.0  # Karpenter looks at new pools within two; a pool that it refuses must not hold the rest back
VERDICT_TIMEOUT_S = 600.0
PODS_S = 30.0
MEND_S = 90.0  # a worker that was asked for in vain is given back after idleTimeoutSeconds
_AT_ONCE = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}


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
                mended.callback(self.lab.restart_component, name)  # also where nobody says that it has stopped
                self.lab.stop_component(name)
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

    def mend(self) -> bool:
        """Make a chatbot that was broken in place whole again; whether it is as after a deploy soon enough."""
        self.lay_down(self.desired)
        deadline_s = time.monotonic() + MEND_S
        while time.monotonic() < deadline_s:
            if self._is_whole():
                return True
            time.sleep(1.0)
        return False

    def clear(self) -> None:
        """Remove everything that was laid down, nodes included. Raises NotReady with what does not go.

        Its pods get no time to end: nobody's answer is on its way, and a head takes all of its grace.
        """
        services = [manifest for manifest in self.desired if manifest.kind == "RayService"]
        for service in services:
            resource = self.release.stage.resource(service.api_version, service.kind)
            live = self.release.stage.live(service)
            if live is not None:
                self.release.stage.api.delete(live, resource, foreground=True)
        deadline_s = time.monotonic() + PODS_S
        while (any(map(self.release.stage.live, services)) or self._pods()) and time.monotonic() < deadline_s:
            self._kill_pods()
            time.sleep(0.5)
        self.release.destroy()

    def _is_whole(self) -> bool:
        """A head, one worker that is all Ray asks for, their two nodes, and a service that answers."""
        now = self.snapshot()
        here = [pod for pod in now.all("Pod") if dig(pod, "metadata", "namespace") == self.release.namespace]
        service = now.named("RayService", self.release.service)
        return (
            len(here) == len(now.all("NodeClaim")) == 2
            and sum(_workers_wanted(cluster) for cluster in now.all("RayCluster")) == 1
            and all(condition(pod, "Ready").get("status") == "True" for pod in here)
            and condition(service, "Ready").get("status") == "True"
        )

    def _pods(self) -> Sequence[Mapping[str, Any]]:
        return self.release.stage.api.listing(self.release.stage.resource("v1", "Pod"), self.release.namespace).items

    def _kill_pods(self) -> None:
        api, resource = self.release.stage.api, self.release.stage.resource("v1", "Pod")
        for value in self._pods():
            path = resource.path(text(dig(value, "metadata", "name")), self.release.namespace)
            try:
                api.transport.ask("delete", path, body=_AT_ONCE)
            except ApiError as error:
                if error.status != 404:
                    raise

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


def _workers_wanted(cluster: Mapping[str, Any]) -> int:
    return sum(int(group.get("replicas") or 0) for group in mappings(dig(cluster, "spec", "workerGroupSpecs")))
