from __future__ import annotations

import pytest

from cluster import instance_types
from cluster.objects import Manifest
from cluster.targets.eks.account import Unreadable, Verdicts, check, region_of
from tests.support.manifests import node_class, node_pool, ray_service


class ScriptedAccount:
    """Answers as written down; None stands for what may not be read."""

    def __init__(self, *, parameters: bool | None = True, vcpus: float | None = 1000.0) -> None:
        self.parameters = parameters
        self.vcpus = vcpus
        self.asked: list[str] = []

    def has_parameter(self, name: str) -> bool:
        self.asked.append(name)
        if self.parameters is None:
            raise Unreadable("AccessDenied")
        return self.parameters

    def quota_vcpus(self, code: str) -> float:
        self.asked.append(code)
        if self.vcpus is None:
            raise Unreadable("AccessDenied")
        return self.vcpus


def verdicts(account: ScriptedAccount, desired: list[Manifest] | None = None) -> Verdicts:
    manifests = desired or [node_class(), node_pool(), ray_service()]
    return check(account, manifests, 33, instance_types.table())


def test_the_neuron_variant_is_asked_for_where_the_pool_has_accelerators() -> None:
    account = ScriptedAccount()
    assert verdicts(account) == Verdicts((), ())
    assert account.asked[0].endswith("/neuron/amazon-eks-node-al2023-x86_64-neuron-1.33-v20260801/image_id")
    plain = ScriptedAccount()
    verdicts(plain, [node_class("cpu"), node_pool("cpu", "m5.large")])
    assert "/standard/" in plain.asked[0]


def test_an_ami_that_does_not_exist_refuses() -> None:
    (problem,) = verdicts(ScriptedAccount(parameters=False)).problems
    assert "AWS has no neuron AMI al2023@v20260801 for Kubernetes 1.33" in problem


@pytest.mark.parametrize(
    ("vcpus", "problems", "warnings"), [(0.0, 1, 0), (23.0, 1, 0), (24.0, 0, 1), (47.0, 0, 1), (48.0, 0, 0)]
)
def test_the_quota_must_hold_the_largest_scale_and_should_hold_an_upgrade(
    vcpus: float, problems: int, warnings: int
) -> None:
    found = verdicts(ScriptedAccount(vcpus=vcpus))  # 3 workers on trn1.2xlarge: 24 vCPUs
    assert (len(found.problems), len(found.warnings)) == (problems, warnings)


def test_what_cannot_be_read_is_a_warning() -> None:
    found = verdicts(ScriptedAccount(parameters=None, vcpus=None))
    assert found.problems == ()
    assert len(found.warnings) == 2
    assert all("AccessDenied" in warning for warning in found.warnings)


def test_the_region_is_that_of_the_clusters_address() -> None:
    assert region_of("https://ABC.gr7.us-west-2.eks.amazonaws.com") == "us-west-2"
    assert region_of("https://127.0.0.1:6443") is None
