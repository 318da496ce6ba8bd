"""Installing the CRDs of Karpenter and KubeRay, as their modules ship them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster.client import Api, Collection
from cluster.errors import ClusterError
from cluster.objects import dig, mapping, mappings, text
from cluster.rehearsal.build import Built

_ATTEMPTS = 20
_ESTABLISHED_S = 300.0  # a few seconds on an idle machine


def install(kubeconfig: Path, built: Built) -> None:
    """Apply all of them and return when the API server serves them."""
    api = Api.connect(kubeconfig)
    resource = api.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    if resource is None:
        raise ClusterError("The API server serves no CustomResourceDefinitions.")
    for path in built.crds:
        api.apply(json.loads(path.read_text("utf-8")), resource)
    for definition in until_established(Collection(api, resource).follow()):
        _until_served(api, definition)


def until_established(
    seen: Iterator[list[Mapping[str, Any]]], now: Callable[[], float] = time.monotonic
) -> list[Mapping[str, Any]]:
    """The definitions, as soon as all of them are. Raises ClusterError with those that are not soon enough."""
    deadline = now() + _ESTABLISHED_S
    for definitions in seen:
        waiting = [text(dig(d, "metadata", "name")) for d in definitions if not _is_established(d)]
        if not waiting:
            return definitions
        if now() >= deadline:
            break
    raise ClusterError(
        f"The API server has not established {', '.join(waiting)} after {_ESTABLISHED_S:.0f} s: look at its log, then try again."
    )


def _until_served(api: Api, definition: Mapping[str, Any]) -> None:
    """Established comes a moment before the API server answers for the kind."""
    spec = mapping(definition.get("spec"))
    kind = text(dig(spec, "names", "kind"))
    versions = [
        f"{text(spec.get('group'))}/{text(v.get('name'))}" for v in mappings(spec.get("versions")) if v.get("served")
    ]
    for attempt in range(_ATTEMPTS):
        if all(api.resource(version, kind) for version in versions):
            return
        api.pace.back_off(attempt)
    raise ClusterError(f"The API server does not serve {kind}, though its CRD is established.")


def _is_established(definition: Mapping[str, Any]) -> bool:
    conditions = mappings(dig(definition, "status", "conditions"))
    return any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions)
