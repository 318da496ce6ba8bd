import pytest

from cluster import cost
from cluster.errors import Refused
from tests.support.lint_stack import WORKER_POD, Edit, build

TRN1, M5 = 1.34375, 0.192


def test_bills_count_the_cheapest_nodes_that_hold_the_pods() -> None:
    least, most, upgrade, limits = cost.bills(build())
    assert least.usd_per_hour == pytest.approx(M5 + TRN1)
    assert most.usd_per_hour == pytest.approx(M5 + 2 * TRN1)
    assert upgrade.usd_per_hour == pytest.approx(2 * M5 + 4 * TRN1)
    assert {part.what: part.count for part in limits.nodes}["pool trn"] == 4


def test_a_pod_that_no_pool_holds_is_refused() -> None:
    with pytest.raises(Refused, match="No node pool can hold ray-worker"):
        cost.bills(build([Edit("service", f"{WORKER_POD}.nodeSelector", {"accelerator": "gpu"})]))


def test_a_million_tokens_carry_idle_nodes_and_the_head() -> None:
    report = {
        "traffic": {"total": {"tokens": {"completion": 100_000}}},
        "cost": {"node_seconds": 1800.0},
        "ended_s": 900.0,
    }
    found = cost.per_million(cost.bills(build())[0], report, 10.0)
    assert found.usd == pytest.approx((1800 * TRN1 + 900 * M5) / 3600 * 10)
    assert found.break_even_tokens_per_s == pytest.approx((TRN1 + M5) / 10 * 1e6 / 3600)


@pytest.mark.parametrize(
    "report", [{}, {"traffic": {"total": {"tokens": {"completion": 0}}}, "cost": {"node_seconds": 1}, "ended_s": 1}]
)
def test_a_report_without_tokens_is_refused(report: dict[str, object]) -> None:
    with pytest.raises(Refused, match="report"):
        cost.per_million(cost.bills(build())[0], report, None)


def test_running_nodes_are_priced_by_their_label() -> None:
    nodes = [
        {"metadata": {"labels": {"node.kubernetes.io/instance-type": name}}}
        for name in ("trn1.2xlarge", "m5.xlarge", "x")
    ]
    assert cost.running(nodes).usd_per_hour == pytest.approx(TRN1 + M5)
