from __future__ import annotations

from dataclasses import replace

import pytest

from cluster.errors import Refused
from cluster.preflight import Controller, Facts, problems, refuse

V1 = frozenset({"v1"})
KARPENTER = Controller("karpenter", "kube-system", (1, 14, 1), 2)
KUBERAY = Controller("kuberay-operator", "kuberay-system", (1, 6, 1), 1)
HEALTHY = Facts(
    kubernetes_minor=33,
    crds={
        "nodepools.karpenter.sh": V1,
        "nodeclaims.karpenter.sh": V1,
        "ec2nodeclasses.karpenter.k8s.aws": V1,
        "rayservices.ray.io": V1,
    },
    controllers=(KARPENTER, KUBERAY),
)


def test_a_cluster_that_has_everything_has_no_problem() -> None:
    assert problems(HEALTHY) == []
    refuse(problems(HEALTHY))


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (replace(HEALTHY, crds={**HEALTHY.crds, "rayservices.ray.io": frozenset({"v1alpha1"})}), "rayservices.ray.io not served"),
        (replace(HEALTHY, controllers=(KARPENTER,)), "KubeRay's operator does not run, only its CRDs are there; install it: helm"),
        (replace(HEALTHY, controllers=(KUBERAY,)), "Karpenter does not run"),
        (replace(HEALTHY, controllers=(replace(KARPENTER, available=0), KUBERAY)), "has no available pod"),
        (replace(HEALTHY, controllers=(replace(KARPENTER, version=(1, 5, 2)), KUBERAY)), "needs 1.6.0 or newer"),
        (replace(HEALTHY, kubernetes_minor=35, controllers=(replace(KARPENTER, version=(1, 8, 9)), KUBERAY)), "needs 1.9.0"),
        (replace(HEALTHY, controllers=(KARPENTER, replace(KUBERAY, version=(1, 7, 0)))), "written for 1.6.1"),
    ],
)  # fmt: skip
def test_what_is_missing_or_too_old_is_one_sentence_with_what_to_do(facts: Facts, sentence: str) -> None:
    (problem,) = problems(facts)
    assert sentence in problem


def test_an_image_without_a_version_is_taken_on_trust() -> None:
    assert problems(replace(HEALTHY, controllers=(replace(KARPENTER, version=None), KUBERAY))) == []


def test_every_reason_is_in_the_refusal() -> None:
    with pytest.raises(Refused) as refused:
        refuse(problems(replace(HEALTHY, controllers=())))
    assert str(refused.value).count("\n  - ") == 2
