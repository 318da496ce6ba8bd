"""What the AWS account must have before nodes can come: the pinned AMIs, and quota for the accelerator nodes.

Read where the caller may; what cannot be read is a warning, for deploying needs no AWS rights of its own.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.instance_types import InstanceType
from cluster.objects import Manifest, dig, mappings, string_map, text
from cluster.upgrade import instance_types_of, pool_for

TRN_QUOTA = "L-2C3B7624"  # Service Quotas, ec2: Running On-Demand Trn instances, in vCPUs
_ENDPOINT = re.compile(r"\.([a-z]{2}(?:-[a-z]+)+-\d)\.eks\.amazonaws\.com")
_ALIAS = re.compile(r"^al2023@(v\d{8})$")


class Unreadable(Exception):
    """AWS did not answer, or not us; the sentence says why."""


class Account(Protocol):
    """The two things that are asked."""

    def has_parameter(self, name: str) -> bool:
        """Whether the SSM parameter is there. Raises Unreadable."""

    def quota_vcpus(self, code: str) -> float:
        """The value of an EC2 quota. Raises Unreadable."""


class Boto3Account:
    """The account of the default credentials, in one region."""

    def __init__(self, region: str) -> None:
        """Raises Unreadable where boto3 is not installed."""
        try:
            boto3, errors = importlib.import_module("boto3"), importlib.import_module("botocore.exceptions")
        except ImportError as error:
            raise Unreadable("boto3 is not installed") from error
        self._session: Any = boto3.Session(region_name=region)
        self._errors: Any = errors

    def has_parameter(self, name: str) -> bool:
        """Whether the SSM parameter is there. Raises Unreadable."""
        answer = self._ask("ssm", lambda client: client.get_parameters(Names=[name]))
        return bool(answer["Parameters"])

    def quota_vcpus(self, code: str) -> float:
        """The value of an EC2 quota. Raises Unreadable."""
        answer = self._ask("service-quotas", lambda c: c.get_service_quota(ServiceCode="ec2", QuotaCode=code))
        return float(answer["Quota"]["Value"])

    def _ask(self, service: str, question: Any) -> Any:
        try:
            return question(self._session.client(service))
        except (self._errors.BotoCoreError, self._errors.ClientError) as error:
            raise Unreadable(str(error)) from error


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What was found: `problems` refuse a deploy, `warnings` are told."""

    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def region_of(host: str) -> str | None:
    """The region of an EKS API server's address, None for another kind of cluster."""
    found = _ENDPOINT.search(host)
    return found[1] if found else None


_CLASS_NAME = ("spec", "template", "spec", "nodeClassRef", "name")


def check(
    account: Account, desired: Sequence[Manifest], kubernetes_minor: int, types: Mapping[str, InstanceType]
) -> Verdicts:
    """Ask the account about everything that the manifests need of it."""
    problems: list[str] = []
    warnings: list[str] = []
    try:
        problems += _missing_amis(account, desired, kubernetes_minor)
    except Unreadable as error:
        warnings.append(f"Whether the pinned AMIs exist could not be read ({error}).")
    try:
        found = _quota(account, desired, types)
        problems += found.problems
        warnings += found.warnings
    except Unreadable as error:
        warnings.append(f"The quota for On-Demand Trn instances could not be read ({error}).")
    return Verdicts(tuple(problems), tuple(warnings))


def _missing_amis(account: Account, desired: Sequence[Manifest], minor: int) -> Iterator[str]:
    pools = {text(dig(p.value, *_CLASS_NAME)): p for p in desired if p.kind == "NodePool"}
    for node_class in (manifest for manifest in desired if manifest.kind == "EC2NodeClass"):
        pool = pools.get(node_class.name)
        accelerated = pool is not None and any(t.startswith(("trn", "inf")) for t in instance_types_of(pool))
        variant = "neuron" if accelerated else "standard"
        for term in mappings(node_class.get("spec", "amiSelectorTerms")):
            version = _ALIAS.match(text(term.get("alias")))
            if version and not account.has_parameter(_parameter(minor, variant, version[1])):
                yield (
                    f"EC2NodeClass {node_class.name}: AWS has no {variant} AMI {version[0]} for Kubernetes 1.{minor}; "
                    "pin a version that the EKS AMI releases list for it"
                )


def _parameter(minor: int, variant: str, version: str) -> str:
    """As Karpenter's AWS provider 1.14 resolves an alias (amifamily/al2023.go)."""
    name = f"amazon-eks-node-al2023-x86_64-{variant}-1.{minor}-{version}"
    return f"/aws/service/eks/optimized-ami/1.{minor}/amazon-linux-2023/x86_64/{variant}/{name}/image_id"


def _quota(account: Account, desired: Sequence[Manifest], types: Mapping[str, InstanceType]) -> Verdicts:
    needed = sum(_vcpus_at_most(desired, types))
    if not needed:
        return Verdicts((), ())
    allowed = account.quota_vcpus(TRN_QUOTA)
    if allowed < needed:
        problem = (
            f"the account may run {allowed:.0f} vCPUs of On-Demand Trn instances, and the largest scale needs {needed}; "
            f"ask for {2 * needed} (an upgrade runs two clusters) in Service Quotas, ec2, {TRN_QUOTA}"
        )
        return Verdicts((problem,), ())
    if allowed < 2 * needed:
        warning = (
            f"The Trn quota of {allowed:.0f} vCPUs does not suffice for an upgrade at the largest scale: {2 * needed}."
        )
        return Verdicts((), (warning,))
    return Verdicts((), ())


def _vcpus_at_most(desired: Sequence[Manifest], types: Mapping[str, InstanceType]) -> Iterable[int]:
    pools = [manifest for manifest in desired if manifest.kind == "NodePool"]
    for service in (manifest for manifest in desired if manifest.kind == "RayService"):
        for group in mappings(service.get("spec", "rayClusterConfig", "workerGroupSpecs")):
            pool = pool_for(string_map(dig(group, "template", "spec", "nodeSelector")), pools)
            names = instance_types_of(pool) if pool else []
            if names and all(name.startswith("trn") and name in types for name in names):
                yield int(group.get("maxReplicas") or 0) * max(types[name].vcpus for name in names)
