"""A container's environment, in the order in which Kubernetes lets one variable refer to another."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from cluster.objects import mapping, mappings, string_map, text
from cluster.rehearsal.kubelet.pod.fields import Fields, Unresolved
from cluster.rehearsal.kubelet.pod.spec import Container

StoreKind = Literal["ConfigMap", "Secret"]
Lookup = Callable[[StoreKind, str], Mapping[str, Any] | None]
"""A ConfigMap or Secret of the pod's namespace by name."""

_REFERENCE = re.compile(r"\$(\$|\(([-._a-zA-Z0-9]+)\))")
_STORES: tuple[tuple[str, str, StoreKind], ...] = (
    ("configMapKeyRef", "configMapRef", "ConfigMap"),
    ("secretKeyRef", "secretRef", "Secret"),
)


def resolve(container: Container, base: Mapping[str, str], fields: Fields, lookup: Lookup) -> dict[str, str]:
    """`base` (the image's and the cluster's own) below what the container asks for.

    Raises Unresolved where a ConfigMap, a Secret or a key that is not optional is missing.
    """
    environment = dict(base)
    for source in mappings(container.value.get("envFrom")):
        environment |= _from_store(source, lookup)
    for variable in mappings(container.value.get("env")):
        for name, value in _variable(variable, container, fields, lookup):
            environment[name] = expand(value, environment) if "valueFrom" not in variable else value
    return environment


def expand(value: str, environment: Mapping[str, str]) -> str:
    """`$(NAME)` replaced where the name is known, `$$` as a plain dollar sign."""
    return _REFERENCE.sub(lambda m: "$" if m[1] == "$" else environment.get(m[2], m[0]), value)


def contents(kind: StoreKind, store: Mapping[str, Any]) -> dict[str, bytes]:
    """Everything that a ConfigMap or a Secret holds, decoded."""
    if kind == "Secret":
        return {key: base64.b64decode(value) for key, value in string_map(store.get("data")).items()}
    binary = {key: base64.b64decode(value) for key, value in string_map(store.get("binaryData")).items()}
    return binary | {key: value.encode() for key, value in string_map(store.get("data")).items()}


def _variable(
    variable: Mapping[str, Any], container: Container, fields: Fields, lookup: Lookup
) -> Iterator[tuple[str, str]]:
    name, source = text(variable.get("name")), mapping(variable.get("valueFrom"))
    if not source:
        yield name, text(variable.get("value"))
        return
    for of_key, _, kind in _STORES:
        if reference := mapping(source.get(of_key)):
            value = _key(kind, reference, fields.pod.namespace, lookup)
            if value is not None:
                yield name, value
            return
    yield name, fields.source(source, container.name)


def _key(kind: StoreKind, reference: Mapping[str, Any], namespace: str, lookup: Lookup) -> str | None:
    name, key, optional = text(reference.get("name")), text(reference.get("key")), reference.get("optional") is True
    store = lookup(kind, name)
    if store is not None and key in (held := contents(kind, store)):
        return held[key].decode("utf-8", "surrogateescape")
    if optional:
        return None
    if store is None:
        raise Unresolved(f'{kind.lower()} "{name}" not found')
    raise Unresolved(f"couldn't find key {key} in {kind} {namespace}/{name}")


def _from_store(source: Mapping[str, Any], lookup: Lookup) -> dict[str, str]:
    prefix = text(source.get("prefix"))
    for _, of_all, kind in _STORES:
        if reference := mapping(source.get(of_all)):
            store = lookup(kind, text(reference.get("name")))
            if store is None and reference.get("optional") is not True:
                raise Unresolved(f'{kind.lower()} "{text(reference.get("name"))}" not found')
            held = contents(kind, store or {})
            return {prefix + key: value.decode("utf-8", "surrogateescape") for key, value in held.items()}
    return {}
