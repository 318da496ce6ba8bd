from __future__ import annotations

from typing import cast

import pytest

from cluster.errors import ClusterError, NotReady
from cluster.objects import Manifest
from cluster.observe import Stage
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
