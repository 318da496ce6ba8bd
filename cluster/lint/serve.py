"""A Serve config: what it asks of the cluster, and what Serve will make of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from cluster.documents import Unreadable, read
from cluster.objects import Manifest, dig, mapping, mappings, text
from cluster.quantity import parse

PATH_OF_CONFIG = "spec.serveConfigV2"  # of a RayService
DEFAULT_REQUEST_CPUS = Fraction(1)  # of a replica whose ray_actor_options name none


def number(value: Any) -> float | None:
    """A plain finite number, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


@dataclass(frozen=True, eq=False)
class Deployment:
    """One deployment's overrides; what is not written stands in the application's code and is unknown here."""

    config: ServeConfig
    application: str
    value: Mapping[str, Any]
    path: str

    @property
    def name(self) -> str:
        """As written."""
        return text(self.value.get("name"))

    @cached_property
    def autoscaling(self) -> Mapping[str, Any] | None:
        """`autoscaling_config`, with Serve's defaults for `num_replicas: auto`; None where none is written."""
        written = self.value.get("autoscaling_config")
        if text(self.value.get("num_replicas")) == "auto":
            return {"min_replicas": 1, "max_replicas": 100, **mapping(written)}
        return written if isinstance(written, Mapping) else None

    @cached_property
    def bounds(self) -> tuple[int, int] | None:
        """Fewest and most replicas; None where the config does not say."""
        if self.autoscaling is not None:
            low, high = (number(self.autoscaling.get(key, 1)) for key in ("min_replicas", "max_replicas"))
            return None if low is None or high is None else (int(low), int(high))
        count = number(self.value.get("num_replicas"))
        return None if count is None else (int(count), int(count))

    @cached_property
    def demand(self) -> dict[str, Fraction] | None:
        """What one replica asks of Ray, by Ray's resource names; None where the config does not say."""
        options = self.value.get("ray_actor_options")
        if not isinstance(options, Mapping):
            return None
        cpus = options.get("num_cpus", 1)
        amounts = {"CPU": parse(cpus), "GPU": parse(options.get("num_gpus")), "memory": parse(options.get("memory"))}
        custom = {str(name): parse(amount) for name, amount in mapping(options.get("resources")).items()}
        return {name: amount for name, amount in {**amounts, **custom}.items() if amount}

    def seconds(self, *keys: str) -> float | None:
        """A number at `keys` below the deployment."""
        return number(dig(self.value, *keys))


@dataclass(frozen=True, eq=False)
class ServeConfig:
    """The config of a RayService, or a file of its own."""

    manifest: Manifest
    value: Mapping[str, Any]
    path: str  # spec.serveConfigV2, or "" for a file of its own
    error: str = ""  # why it could not be read

    def at(self, place: str) -> str:
        """`place` inside the config as a path of the object."""
        return f"{self.path}:{place}" if self.path else place

    @cached_property
    def applications(self) -> list[tuple[str, Mapping[str, Any]]]:
        """(path, application)."""
        return [(f"applications[{i}]", app) for i, app in enumerate(mappings(self.value.get("applications")))]

    @cached_property
    def deployments(self) -> list[Deployment]:
        """Every deployment of every application."""
        return [
            Deployment(self, text(app.get("name")), value, f"{path}.deployments[{index}]")
            for path, app in self.applications
            for index, value in enumerate(mappings(app.get("deployments")))
        ]

    def setting(self, *path: str) -> float | None:
        """A number of the application's `args`, wherever an application has one at `path`."""
        return next((v for _, app in self.applications if (v := number(dig(app, "args", *path))) is not None), None)


def serve_configs(manifest: Manifest) -> Iterator[ServeConfig]:
    """The Serve config in `manifest`; nothing for other kinds."""
    if manifest.kind == "RayService" and manifest.group == "ray.io":
        written = manifest.spec.get("serveConfigV2")
        if written is not None:
            yield _parse(manifest, written)
    elif not manifest.kind and isinstance(manifest.value.get("applications"), list):
        yield ServeConfig(manifest, manifest.value, "")


def _parse(manifest: Manifest, written: Any) -> ServeConfig:
    path = PATH_OF_CONFIG
    if not isinstance(written, str):
        return ServeConfig(manifest, mapping(written), path, "it must be a string that holds YAML")
    try:
        documents = list(read(written))
    except Unreadable as error:
        return ServeConfig(manifest, {}, path, str(error))
    value = documents[0].value if documents else {}
    wrong = "" if isinstance(value, Mapping) else "it must hold a mapping"
    return ServeConfig(manifest, mapping(value), path, wrong)
