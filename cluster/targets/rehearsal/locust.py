"""The Locust Jobs of manifests/loadtest, run once in the cluster: applied, waited for, read, deleted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from cluster import kustomize
from cluster.client import Collection
from cluster.errors import ClusterError, NotReady
from cluster.explain.pods import explain_pod
from cluster.explain.snapshot import gather
from cluster.objects import Manifest, dig
from cluster.observe import Stage
from cluster.wait import Patience, until_all_ready

MASTER = "locust-master"
TIMEOUT_S = 180.0
_LOG_LINES = 400


@dataclass(frozen=True, slots=True)
class LocustJobs:
    """One run of them."""

    stage: Stage
    manifests: Sequence[Manifest]
    environment: Mapping[str, str]  # KUBECONFIG, for kubectl
    tell: Callable[[str], None]

    def run(self) -> list[str]:
        """Locust's own table of totals.

        Raises NotReady where a Job fails or does not end, with what its pods do and the master's last words.
        """
        failure: ClusterError | None = None
        try:
            for manifest in self.manifests:
                self._apply(manifest)
            self._await([manifest for manifest in self.manifests if manifest.kind == "Job"])
            return totals(self._log())
        except ClusterError as error:
            failure = error
            raise
        finally:
            self._clean_up(failure)

    def _apply(self, manifest: Manifest) -> None:
        resource = self.stage.resource(manifest.api_version, manifest.kind)
        self.stage.api.apply(self.stage.body(manifest, None), resource)

    def _await(self, jobs: Sequence[Manifest]) -> None:
        """Whichever fails: a master waits for its workers however they end."""
        resource = self.stage.resource(jobs[0].api_version, jobs[0].kind)
        together = Collection(self.stage.api, resource, jobs[0].namespace)
        try:
            until_all_ready(together, [job.key for job in jobs], Patience(TIMEOUT_S, self.tell))
        except NotReady as error:
            raise NotReady("\n".join([str(error), *self._pods(), *self._log().splitlines()[-5:]])) from error

    def _pods(self) -> list[str]:
        """What each of those that have not done their work is doing."""
        try:
            snapshot = gather(self.stage.api, self._namespace, datetime.now(timezone.utc))
        except ClusterError as error:
            return [f"Their pods cannot be looked at: {error}"]
        pods = [pod for pod in snapshot.all("Pod") if Manifest(pod).namespace == self._namespace]
        left = [pod for pod in pods if dig(pod, "status", "phase") != "Succeeded"]
        return [line for pod in left for line in explain_pod(snapshot, pod).lines()]

    @property
    def _namespace(self) -> str:
        return next(manifest.namespace for manifest in self.manifests if manifest.kind == "Job")

    def _log(self) -> str:
        command = [kustomize.kubectl(), "-n", self._namespace, "logs", f"job/{MASTER}", f"--tail={_LOG_LINES}"]
        done = subprocess.run(command, env=dict(self.environment), capture_output=True, text=True, check=False)
        return done.stdout or f"kubectl logs: {done.stderr.strip()}"

    def _clean_up(self, failure: ClusterError | None) -> None:
        try:
            self._delete()
        except ClusterError as error:
            if failure is None:
                raise
            raise NotReady(f"{failure}\nNor could the Jobs be deleted: {error}") from failure

    def _delete(self) -> None:
        """Jobs first, so that nothing of theirs is left when the namespace goes."""
        for manifest in reversed(self.manifests):
            live = self.stage.live(manifest)
            if live is not None:
                resource = self.stage.resource(manifest.api_version, manifest.kind)
                self.stage.api.delete(live, resource, foreground=manifest.kind == "Job")


def totals(log: str) -> list[str]:
    """The last table of Locust's statistics, from its heading to its sum. Raises NotReady where there is none."""
    lines = log.splitlines()
    heads = [i for i, line in enumerate(lines) if line.startswith("Type") and "# fails" in line]
    for head in reversed(heads):
        end = next((i for i in range(head, len(lines)) if lines[i].strip().startswith("Aggregated")), None)
        if end is not None:
            return [line.rstrip() for line in lines[head : end + 1]]
    raise NotReady(f"Locust printed no totals: {' '.join(lines[-3:]) or 'it printed nothing'}")
