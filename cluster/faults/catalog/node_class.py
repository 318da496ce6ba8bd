"""In the EC2NodeClass of the workers: most of it only AWS can tell, which the rehearsal's EC2 answers for."""

from __future__ import annotations

from typing import Any

from cluster.faults.edit import Edit
from cluster.faults.fault import Fault, Named, Phase

_STAGE = "nodeclaim-created"  # Karpenter makes no NodeClaim of a pool whose class is not ready


def _class(name: str, sentence: str, path: str, value: Any, words: str, *, lint: str | None = None) -> Fault:
    edits = (Edit("EC2NodeClass", "trainium-trn1", path, value),)
    return Fault(
        name, sentence, Phase.DEPLOY, edits=edits, lint=lint, verdict=Named(_STAGE, words)
    )  # fmt: skip


NODE_CLASS = (
    _class(
        "ami-alias-unknown",
        "The class pins a release of the AMI that does not exist.",
        "/spec/amiSelectorTerms/0/alias",
        "al2023@v20260101",
        "al2023@v20260101",
    ),
    _class(
        "subnets-not-found",
        "No subnet carries the tags that the class selects.",
        "/spec/subnetSelectorTerms/0/tags",
        {"karpenter.sh/discovery": "another-cluster"},
        'subnetSelectorTerms are [{"tags": {"karpenter.sh/discovery": "another-cluster"',
    ),
    _class(
        "security-groups-not-found",
        "No security group carries the tags that the class selects.",
        "/spec/securityGroupSelectorTerms/0/tags",
        {"karpenter.sh/discovery": "another-cluster"},
        'securityGroupSelectorTerms are [{"tags": {"karpenter.sh/discovery": "another-cluster"',
    ),
    _class(
        "role-unknown",
        "The class names a role that does not exist.",
        "/spec/role",
        "no-such-role",
        "no-such-role",
    ),
)
