"""On EKS, or any cluster with Karpenter on AWS and KubeRay: where the kubeconfig's current context leads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cluster import instance_types, kustomize, placeholders, preflight
from cluster.client import Api
from cluster.errors import Refused
from cluster.objects import Manifest
from cluster.observe import Stage
from cluster.port_forward import Forward
from cluster.release import Release
from cluster.settings import Settings
from cluster.targets import Options, Tell
from cluster.targets.eks import account
from cluster.targets.eks.target import NAME, EksTarget

__all__ = ["open_release", "open_target"]

MANIFESTS = Path(__file__).resolve().parents[3] / "manifests" / "clusters" / NAME
SERVE_PORT = 8000


def open_target(settings: Settings, tell: Tell, options: Options) -> EksTarget:
    """The EKS target. Raises Refused without a kubeconfig, or for an option of another target."""
    if options.settings:
        raise Refused("--set is for the local target: on a cluster the settings stand in manifests/.")
    release = open_release(settings, tell, force_conflicts=options.force_conflicts)
    forward = Forward(
        kustomize.kubectl(),
        settings.environment,
        release.namespace,
        f"{release.service}-serve-svc",
        SERVE_PORT,
        options.port or SERVE_PORT,
    )
    api = release.stage.api

    def check_account(desired: Sequence[Manifest], kubernetes_minor: int) -> None:
        _check_account(api.host, desired, kubernetes_minor, tell)

    return EksTarget(release, forward.open, forward.shown(), check_account, settings.api_key)


def open_release(settings: Settings, tell: Tell, *, force_conflicts: bool = False) -> Release:
    """The manifests of this target on the cluster of the current context.

    Variables that are not set are no error yet: only a plan needs them. Raises Refused without a kubeconfig.
    """
    built = kustomize.build(MANIFESTS)
    unset = ""
    try:
        placeholders.require(placeholders.used(built.content), settings.environment, placeholders.declared(MANIFESTS))
    except Refused as error:
        unset = str(error)
    stage = Stage(Api.connect(settings.environment.get("KUBECONFIG")), NAME)
    return Release(stage, built.fill(settings.environment), tell, instance_types.usd_per_hour(), force_conflicts, unset)


def _check_account(host: str, desired: Sequence[Manifest], kubernetes_minor: int, tell: Tell) -> None:
    region = account.region_of(host)
    if region is None:
        tell(f"Warning: {host} is no EKS address, so AMIs and quotas were not checked.")
        return
    try:
        found = account.check(account.Boto3Account(region), desired, kubernetes_minor, instance_types.table())
    except account.Unreadable as error:
        tell(f"Warning: AMIs and quotas were not checked ({error}).")
        return
    for warning in found.warnings:
        tell(f"Warning: {warning}")
    preflight.refuse(list(found.problems))
