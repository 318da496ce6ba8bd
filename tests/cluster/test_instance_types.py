import pytest

from cluster.instance_types import sources, table
from cluster.quantity import show


@pytest.mark.parametrize(
    ("name", "cpu", "memory", "cores", "usd"),
    [  # Karpenter's own page of instance types, read at 1.14.1
        ("trn1.2xlarge", "7910m", "29317Mi", 2, 1.34375),
        ("trn1.32xlarge", "127610m", "481894Mi", 32, 21.5),
        ("inf2.xlarge", "3920m", "14162Mi", 2, 0.7582),
        ("inf2.24xlarge", "95690m", "355262Mi", 12, 6.49063),
        ("m5.large", "1930m", "6903Mi", 0, 0.096),
        ("c5.xlarge", "3920m", "6584Mi", 0, 0.17),
    ],
)
def test_allocatable_and_price_are_those_that_karpenter_publishes(
    name: str, cpu: str, memory: str, cores: int, usd: float
) -> None:
    kind = table()[name]
    assert (show("cpu", kind.allocatable["cpu"]), show("memory", kind.allocatable["memory"])) == (cpu, memory)
    assert (kind.neuron_cores, kind.usd_per_hour) == (cores, usd)


def test_labels_are_karpenters() -> None:
    labels = table()["trn1.2xlarge"].labels
    assert labels["karpenter.k8s.aws/instance-category"] == "trn"
    assert labels["karpenter.k8s.aws/instance-generation"] == "1"
    assert labels["karpenter.k8s.aws/instance-accelerator-name"] == "trainium"
    assert table()["inf2.xlarge"].labels["karpenter.k8s.aws/instance-accelerator-name"] == "inferentia2"


def test_every_figure_has_a_source_and_prices_a_date() -> None:
    assert sources()[0].date
    assert all(source.what and source.origin for source in sources())
