"""A thin typed view of a manifest: who it is and where it came from; what it says stays the plain mapping.

Nothing here raises on a wrong shape: a manifest may be anybody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

CLUSTER_SCOPED = frozenset(
    {
        "APIService", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "EC2NodeClass", "GatewayClass",
        "IngressClass", "MutatingWebhookConfiguration", "Namespace", "Node", "NodeClass", "NodeOverlay", "NodePool",
        "NodeClaim", "PersistentVolume", "PriorityClass", "RuntimeClass", "StorageClass",
        "ValidatingWebhookConfiguration",
    }
)  # fmt: skip


class Key(NamedTuple):
    """What makes an object one and the same across versions of its API."""

    group: str
    kind: str
    namespace: str  # "" for what is cluster-scoped
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind} {place}{self.name}"


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> Sequence[Any]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else ()


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The mappings among the items of a list; what is no list has none."""
    return [item for item in sequence(value) if isinstance(item, dict)]


def text(value: Any, default: str = "") -> str:
    """`value` as the text a scalar stands for; `default` for what is no scalar."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else default


def dig(value: Any, *path: str | int) -> Any:
    """What stands at `path` below `value`, None where a step is missing or of another shape."""
    for step in path:
        if isinstance(step, int) and isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        elif isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value


def string_map(value: Any) -> dict[str, str]:
    """Labels, annotations, selectors: only what Kubernetes would take as such."""
    return {text(key): text(item) for key, item in mapping(value).items()}


def condition(value: Any, kind: str) -> Mapping[str, Any]:
    """The status condition of that type, empty where there is none."""
    return next((c for c in mappings(dig(value, "status", "conditions")) if c.get("type") == kind), {})


@dataclass(frozen=True)
class Manifest:
    """One object as written, with the file it came from where that is known."""

    value: Mapping[str, Any]
    file: str | None = None  # as a user would type it; None for what has no file
    line: int = 0  # of the object's first line in `file`, from 1; 0 where unknown

    @cached_property
    def api_version(self) -> str:
        """`group/version`, or the bare version of the core group."""
        return text(self.value.get("apiVersion"))

    @cached_property
    def group(self) -> str:
        """Empty for the core group."""
        return self.api_version.rpartition("/")[0]

    @cached_property
    def kind(self) -> str:
        """As written."""
        return text(self.value.get("kind"))

    @cached_property
    def name(self) -> str:
        """`metadata.name`; a `generateName` stands for the name it will get."""
        return text(dig(self.value, "metadata", "name")) or text(dig(self.value, "metadata", "generateName"))

    @cached_property
    def namespace(self) -> str:
        """Empty for what is cluster-scoped; `default` where a namespaced object names none."""
        if self.kind in CLUSTER_SCOPED:
            return ""
        return text(dig(self.value, "metadata", "namespace")) or "default"

    @cached_property
    def labels(self) -> dict[str, str]:
        """`metadata.labels`."""
        return string_map(dig(self.value, "metadata", "labels"))

    @cached_property
    def annotations(self) -> dict[str, str]:
        """`metadata.annotations`."""
        return string_map(dig(self.value, "metadata", "annotations"))

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """`spec`, empty where it is missing or of another shape."""
        return mapping(self.value.get("spec"))

    @cached_property
    def key(self) -> Key:
        """Its identity in a cluster."""
        return Key(self.group, self.kind, self.namespace, self.name)

    def get(self, *path: str | int) -> Any:
        """What stands at `path`, None where a step is missing."""
        return dig(self.value, *path)


def flatten(manifests: Iterable[Manifest]) -> Iterator[Manifest]:
    """The items of `List` objects in place of the lists; everything else as it is."""
    for manifest in manifests:
        if manifest.kind.endswith("List") and isinstance(manifest.value.get("items"), list):
            for item in mappings(manifest.value["items"]):
                yield Manifest(item, manifest.file, manifest.line)
        else:
            yield manifest
