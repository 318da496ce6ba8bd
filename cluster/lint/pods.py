"""Pod templates, wherever a manifest holds them, and what the scheduler will count of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

from cluster.objects import Manifest, dig, mapping, mappings, string_map, text
from cluster.quantity import Resources, largest, resources, total

TEMPLATE_PATHS: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


@dataclass(frozen=True, eq=False)
class Container:
    """One container as written."""

    value: Mapping[str, Any]
    path: str
    init: bool = False

    @property
    def name(self) -> str:
        """As written."""
        return text(self.value.get("name"))

    @property
    def image(self) -> str:
        """As written."""
        return text(self.value.get("image"))

    @cached_property
    def env(self) -> dict[str, str | None]:
        """Literal values; None for what comes from elsewhere (`valueFrom`)."""
        return {
            text(item.get("name")): text(item.get("value")) if "valueFrom" not in item else None
            for item in mappings(self.value.get("env"))
        }

    @cached_property
    def limits(self) -> Resources:
        """`resources.limits`."""
        return resources(dig(self.value, "resources", "limits"))

    @cached_property
    def requests(self) -> Resources:
        """`resources.requests`, and the limit where no request is given, as the API server fills it in."""
        return self.limits | resources(dig(self.value, "resources", "requests"))

    @cached_property
    def command_line(self) -> str:
        """`command` and `args` in one line."""
        parts = [*(self.value.get("command") or []), *(self.value.get("args") or [])] if self._listed else []
        return " ".join(text(part) for part in parts)

    @property
    def _listed(self) -> bool:
        return all(isinstance(self.value.get(key), list | None) for key in ("command", "args"))


@dataclass(frozen=True, eq=False)
class Pod:
    """A pod template (or a bare pod) with the place it stands in."""

    manifest: Manifest
    value: Mapping[str, Any]  # metadata and spec
    path: str  # spec.template
    role: str = ""  # ray-head | ray-worker, else ""
    injected: Resources | None = None  # what an operator adds to it

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """Its `spec`."""
        return mapping(self.value.get("spec"))

    @property
    def spec_path(self) -> str:
        """Path of its `spec`."""
        return f"{self.path}.spec" if self.path else "spec"

    @cached_property
    def containers(self) -> list[Container]:
        """The main containers, in order."""
        return self._containers("containers", init=False)

    @cached_property
    def all_containers(self) -> list[Container]:
        """Main and init containers."""
        return self.containers + self._containers("initContainers", init=True)

    def _containers(self, key: str, *, init: bool) -> list[Container]:
        return [
            Container(value, f"{self.spec_path}.{key}[{index}]", init)
            for index, value in enumerate(mappings(self.spec.get(key)))
        ]

    @cached_property
    def labels(self) -> dict[str, str]:
        """Labels of the pods that it makes."""
        return string_map(dig(self.value, "metadata", "labels"))

    @cached_property
    def annotations(self) -> dict[str, str]:
        """Annotations of the pods that it makes."""
        return string_map(dig(self.value, "metadata", "annotations"))

    @cached_property
    def requests(self) -> Resources:
        """What the scheduler counts: the sum of the containers or the largest init container, and what is injected."""
        main = total(container.requests for container in self.containers)
        side = [c for c in self.all_containers if c.init and text(c.value.get("restartPolicy")) == "Always"]
        main = total([main, *(container.requests for container in side)])
        for container in self.all_containers:
            if container.init and container not in side:
                main = largest(main, container.requests)
        return total([main, self.injected or {}])

    def device(self, *names: str) -> Fraction:
        """How many of the extended resources `names` it asks for."""
        asked = self.requests
        return sum((asked.get(name, Fraction(0)) for name in names), Fraction(0))

    @cached_property
    def tolerations(self) -> list[Mapping[str, Any]]:
        """As written."""
        return mappings(self.spec.get("tolerations"))

    def tolerates(self, taint: Mapping[str, Any]) -> bool:
        """Whether one of its tolerations covers `taint`; a soft taint needs none."""
        return text(taint.get("effect")) == "PreferNoSchedule" or any(_covers(t, taint) for t in self.tolerations)

    @cached_property
    def required_labels(self) -> list[tuple[str, str, tuple[str, ...], str]]:
        """(key, operator, values, path) of its node selector and of a required node affinity of one term.

        Several terms are alternatives; a caller that needs all of them to fail has to look itself, so they are left out.
        """
        wanted: list[tuple[str, str, tuple[str, ...], str]] = [
            (key, "In", (value,), f"{self.spec_path}.nodeSelector")
            for key, value in string_map(self.spec.get("nodeSelector")).items()
        ]
        affinity = "requiredDuringSchedulingIgnoredDuringExecution"
        terms = mappings(dig(self.spec, "affinity", "nodeAffinity", affinity, "nodeSelectorTerms"))
        if len(terms) == 1:
            for item in mappings(terms[0].get("matchExpressions")):
                values = tuple(text(value) for value in item.get("values") or [] if isinstance(item["values"], list))
                path = f"{self.spec_path}.affinity.nodeAffinity"
                wanted.append((text(item.get("key")), text(item.get("operator")), values, path))
        return wanted

    @cached_property
    def placement(self) -> str:
        """What decides which pools it may use; equal for pods that may use the same."""
        return f"{self.required_labels!r} {self.tolerations!r}"

    @cached_property
    def volumes(self) -> dict[str, Mapping[str, Any]]:
        """Volumes by name."""
        return {text(volume.get("name")): volume for volume in mappings(self.spec.get("volumes"))}


def _covers(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    key, effect = text(toleration.get("key")), text(toleration.get("effect"))
    if effect and effect != text(taint.get("effect")):
        return False
    if text(toleration.get("operator"), "Equal") == "Exists":
        return not key or key == text(taint.get("key"))
    return key == text(taint.get("key")) and text(toleration.get("value")) == text(taint.get("value"))


def plain_pods(manifest: Manifest) -> Iterator[Pod]:
    """The pod template of a built-in workload; nothing for other kinds."""
    path = TEMPLATE_PATHS.get(manifest.kind)
    if path is not None and manifest.group in ("", "apps", "batch"):
        yield Pod(manifest, mapping(dig(manifest.value, *path)), ".".join(path))
