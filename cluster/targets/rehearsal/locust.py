"""The Locust Jobs of manifests/loadtest, run once in the cluster: applied, waited for, read, deleted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cluster import kustomize
from cluster.errors import ClusterError, NotReady
from cluster.objects import Manifest
from cluster.observe import Stage
from cluster.wait import Patience, until_ready

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
        """Locust's own table of totals. Raises NotReady with the master's last words where a Job fails or does not end."""
        failure: ClusterError | None = None
        try:
            for manifest in self.manifests:
                self._apply(manifest)
            for job in (manifest for manifest in self.manifests if manifest.kind == "Job"):
                self._await(job)
            return totals(self._log())
        except ClusterError as error:
            failure = error
            raise
        finally:
            self._clean_up(failure)

    def _apply(self, manifest: Manifest) -> None:
        resource = self.stage.resource(manifest.api_version, manifest.kind)
        self.stage.api.apply(self.stage.body(manifest, None), resource)

    def _await(self, job: Manifest) -> None:
        try:
            resource = self.stage.resource(job.api_version, job.kind)
            until_ready(self.stage.api, resource, job.key, Patience(TIMEOUT_S, self.tell))
        except NotReady as error:
            raise NotReady("\n".join([str(error), *self._log().splitlines()[-5:]])) from error

    def _log(self) -> str:
        namespace = next(manifest.namespace for manifest in self.manifests if manifest.kind == "Job")
        command = [kustomize.kubectl(), "-n", namespace, "logs", f"job/{MASTER}", f"--tail={_LOG_LINES}"]
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
