from __future__ import annotations

import pytest

from cluster.errors import NotReady
from cluster.targets.rehearsal.locust import totals

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
