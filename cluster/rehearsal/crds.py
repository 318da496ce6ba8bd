"""Installing the CRDs of Karpenter and KubeRay, as their modules ship them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.client import Api, Collection
from cluster.errors import ClusterError
from cluster.objects import dig, mappings
from cluster.rehearsal.build import Built


def install(kubeconfig: Path, built: Built) -> None:
    """Apply all of them and return when the API server serves them."""
    api = Api.connect(kubeconfig)
    resource = api.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    if resource is None:
        raise ClusterError("The API server serves no CustomResourceDefinitions.")
    for path in built.crds:
        api.apply(json.loads(path.read_text("utf-8")), resource)
    for definitions in Collection(api, resource).follow():
        if all(_is_established(definition) for definition in definitions):
            return


def _is_established(definition: Mapping[str, Any]) -> bool:
    conditions = mappings(dig(definition, "status", "conditions"))
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)
