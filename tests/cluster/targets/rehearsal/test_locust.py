from __future__ import annotations

import re
from pathlib import Path
from typing import cast

import pytest

from cluster import kustomize
from cluster.client import Api, Collection
from cluster.errors import ClusterError, NotReady
from cluster.objects import Manifest
from cluster.observe import Stage
from cluster.rehearsal.control_plane import ControlPlane
from cluster.rehearsal.kubelet.api import PODS
from cluster.targets import rehearsal
from cluster.targets.rehearsal.locust import LocustJobs, totals

STATISTICS = """\
Type     Name                    # reqs      # fails |    Avg     Min     Max    Med |   req/s  failures/s
--------|----------------------|-------|-------------|-------|-------|-------|-------|--------|-----------
POST     /v1/chat/completions       {0}     0(0.00%) |   2000     900    3000   2000 |    1.10        0.00
--------|----------------------|-------|-------------|-------|-------|-------|-------|--------|-----------
         Aggregated                 {0}     0(0.00%) |   2000     900    3000   2000 |    1.10        0.00
"""
PERCENTILES = """
Response time percentiles (approximated)
Type     Name                        50%    66%    75%    99%   100% # reqs
--------|-----------------------|--------|------|------|------|------|------
         Aggregated                 2000   2100   2200   3000   3000     12
"""


def test_the_totals_are_the_last_statistics_and_not_the_percentiles() -> None:
    lines = totals(STATISTICS.format(3) + "\n" + STATISTICS.format(12) + PERCENTILES)
    assert lines == STATISTICS.format(12).splitlines()


def test_a_log_without_totals_is_an_error_with_its_last_words() -> None:
    with pytest.raises(NotReady, match="Locust printed no totals: starting connection refused"):
        totals("starting\nconnection refused")


class Refusing:
    """A stage on which nothing can be done, the end included."""

    def resource(self, _version: str, kind: str) -> None:
        raise NotReady(f"the API server serves no {kind}")

    def live(self, _manifest: Manifest) -> None:
        raise ClusterError("the API server does not answer")


def test_why_the_jobs_failed_is_said_though_they_cannot_be_deleted_either() -> None:
    job = Manifest({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "locust-master"}})
    jobs = LocustJobs(cast(Stage, Refusing()), [job], {}, lambda _: None)
    with pytest.raises(NotReady) as raised:
        jobs.run()
    assert str(raised.value).splitlines() == [
        "the API server serves no Job",
        "Nor could the Jobs be deleted: the API server does not answer",
    ]


@pytest.mark.cluster
def test_a_worker_that_dies_ends_the_jobs_and_what_their_pods_do_is_said(
    api: Api, control_plane: ControlPlane, tmp_path: Path
) -> None:
    def kill_a_worker(told: str) -> None:
        if "1 pods at work" in told:
            killed = {"name": "locust", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
            status = {"phase": "Failed", "containerStatuses": [killed]}
            path = f"{PODS.path(worker(), 'chatbot-loadtest')}/status"
            api.transport.ask("patch", path, body={"status": status}, content_type="application/merge-patch+json")

    def worker() -> str:
        labels = "app.kubernetes.io/name=locust-worker"
        looks = Collection(api, PODS, "chatbot-loadtest", labels=labels).follow()
        return Manifest(next(pods for pods in looks if pods)[0]).name

    manifests = kustomize.build(rehearsal.CLUSTERS / rehearsal.NAME / "loadtest").fill(rehearsal.VARIABLES)
    environment = {
        "KUBECONFIG": str(control_plane.admin_kubeconfig),
        "HOME": str(tmp_path),
    }  # kubectl has a cache there
    with pytest.raises(NotReady) as raised:
        LocustJobs(Stage(api, "rehearsal"), manifests, environment, kill_a_worker).run()
    said = str(raised.value)
    assert said.startswith("Job chatbot-loadtest/locust-worker is not ready: BackoffLimitExceeded")
    assert re.search("! Pod locust-worker-.* was killed for lack of memory in container locust", said)
    assert re.search("! Pod locust-master-.* has no node: no node pool gives nodes with type=karpenter", said)
