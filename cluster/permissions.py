"""The rights that a deploy needs, worked out from the objects that it would apply: no more than it uses. It asks nobody.

Two rules of Kubernetes decide the shape. `create` cannot be limited to a name, the other verbs can. And nobody may
grant what he does not hold: whoever applies a Role needs every right in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cluster.objects import Manifest, mappings, text
from cluster.order import places

ROLE_NAME = "chatbot-deployer"
_OWN_VERBS = ("get", "patch", "delete")


class Right(NamedTuple):
    """One thing that a deploy does; the attributes of a SelfSubjectAccessReview."""

    verb: str
    group: str
    resource: str  # plural, `pods/portforward` with its subresource
    namespace: str = ""  # "" for all of them, and for what is cluster-scoped
    name: str = ""  # "" for any

    def __str__(self) -> str:
        what = f"{self.resource}.{self.group}" if self.group else self.resource
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {what}{name}" + (f" in namespace {self.namespace}" if self.namespace else "")

    @property
    def attributes(self) -> dict[str, str]:
        """As a SelfSubjectAccessReview asks for them."""
        resource, _, subresource = self.resource.partition("/")
        return {
            "verb": self.verb,
            "group": self.group,
            "resource": resource,
            "subresource": subresource,
            "namespace": self.namespace,
            "name": self.name,
        }


@dataclass(frozen=True, slots=True)
class Plural:
    """How the API server calls a kind."""

    name: str
    namespaced: bool


# What preflight, explain, destroy and the one chat request read, whatever the manifests hold: (namespace, group,
# resource, verbs), where "" is everywhere and `chatbot` stands for each namespace with a RayService.
_CHATBOT = "chatbot"
_READS = (
    ("", "apiextensions.k8s.io", "customresourcedefinitions", ("get",)),
    ("", "apps", "deployments", ("list",)),  # Karpenter's and KubeRay's own, wherever they were installed
    ("", "karpenter.sh", "nodeclaims", ("list", "watch")),
    ("", "", "nodes", ("list",)),
    ("default", "", "events", ("list",)),  # of what is cluster-scoped
    ("kube-system", "", "pods", ("list",)),  # the device plugin's
    ("kube-system", "apps", "daemonsets", ("list",)),
    (_CHATBOT, "", "pods", ("get", "list")),
    (_CHATBOT, "", "events", ("list",)),
    (_CHATBOT, "ray.io", "rayclusters", ("list",)),
    (_CHATBOT, "", "services", ("get",)),
    (_CHATBOT, "", "pods/portforward", ("create",)),
)


def required(desired: Sequence[Manifest], plurals: Mapping[tuple[str, str], Plural]) -> list[Right]:
    """Every right that plan, deploy, explain and destroy use, each once.

    `plurals` says of each served (apiVersion, kind) how it is called; kinds that are not served need no right.
    """
    rights: dict[Right, None] = {}
    for right in (*_on_objects(desired, plurals), *_on_kinds(desired, plurals), *_reads(desired), *_grants(desired)):
        rights.setdefault(right)
    return list(rights)


def manifests(rights: Iterable[Right], subject: str) -> list[dict[str, Any]]:
    """The roles that hold exactly these rights, bound to the user `subject`."""
    by_namespace: dict[str, list[Right]] = {}
    for right in rights:
        by_namespace.setdefault(right.namespace, []).append(right)
    objects = []
    for namespace, held in sorted(by_namespace.items()):
        kind = "Role" if namespace else "ClusterRole"
        metadata = {"name": ROLE_NAME, **({"namespace": namespace} if namespace else {})}
        group = "rbac.authorization.k8s.io"
        objects += [
            {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "rules": _rules(held)},
            {
                "apiVersion": f"{group}/v1",
                "kind": f"{kind}Binding",
                "metadata": metadata,
                "roleRef": {"apiGroup": group, "kind": kind, "name": ROLE_NAME},
                "subjects": [{"apiGroup": group, "kind": "User", "name": subject}],
            },
        ]
    return objects


def _on_objects(desired: Sequence[Manifest], plurals: Mapping[tuple[str, str], Plural]) -> Iterable[Right]:
    for manifest in desired:
        plural = plurals.get((manifest.api_version, manifest.kind))
        if plural is None:
            continue
        place = manifest.namespace if plural.namespaced else ""
        yield Right("create", manifest.group, plural.name, place)
        for verb in _OWN_VERBS:
            yield Right(verb, manifest.group, plural.name, place, manifest.name)


def _on_kinds(desired: Sequence[Manifest], plurals: Mapping[tuple[str, str], Plural]) -> Iterable[Right]:
    """What is ours is found by listing; what we wait for, by watching."""
    watched = {(manifest.api_version, manifest.kind) for manifest in desired}
    for kind, place in places(desired):
        plural = plurals.get(kind)
        if plural is None or plural.namespaced != bool(place):
            continue
        group = kind[0].rpartition("/")[0]
        yield Right("list", group, plural.name, place)
        if kind in watched:
            yield Right("watch", group, plural.name, place)


def _reads(desired: Sequence[Manifest]) -> Iterable[Right]:
    own = sorted({manifest.namespace for manifest in desired if manifest.kind == "RayService"})
    for namespace, group, resource, verbs in _READS:
        for place in own if namespace == _CHATBOT else [namespace]:
            for verb in verbs:
                yield Right(verb, group, resource, place)


def _grants(desired: Sequence[Manifest]) -> Iterable[Right]:
    """What the roles of the manifests grant: held already, or the API server refuses the role and its binding."""
    for manifest in desired:
        if manifest.kind not in {"Role", "ClusterRole"}:
            continue
        place = manifest.namespace if manifest.kind == "Role" else ""
        for rule in mappings(manifest.value.get("rules")):
            for group in rule.get("apiGroups") or []:
                for resource in rule.get("resources") or []:
                    for verb in rule.get("verbs") or []:
                        for name in rule.get("resourceNames") or [""]:
                            yield Right(text(verb), text(group), text(resource), place, text(name))


def _rules(rights: Sequence[Right]) -> list[dict[str, Any]]:
    """The fewest rules that hold these rights: verbs together that share resources and names."""
    verbs: dict[tuple[str, str, str], list[str]] = {}
    for right in rights:
        held = verbs.setdefault((right.group, right.resource, right.name), [])
        if right.verb not in held:
            held.append(right.verb)
    names: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (group, resource, name), allowed in verbs.items():
        names.setdefault((group, resource, tuple(allowed)), []).append(name)
    resources: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (group, resource, allowed_verbs), named in names.items():
        only = () if "" in named else tuple(sorted(named))
        resources.setdefault((group, allowed_verbs, only), []).append(resource)
    return [
        {
            "apiGroups": [group],
            "resources": sorted(of_group),
            "verbs": list(allowed_verbs),
            **({"resourceNames": list(only)} if only else {}),
        }
        for (group, allowed_verbs, only), of_group in sorted(resources.items())
    ]
