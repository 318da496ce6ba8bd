from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from cluster.quantity import resources
from cluster.rehearsal.kubelet.pod.environment import StoreKind, expand, resolve
from cluster.rehearsal.kubelet.pod.fields import Fields, Unresolved
from cluster.rehearsal.kubelet.pod.spec import Container
from tests.support.kubelet_pods import container, pod

STORES: dict[tuple[StoreKind, str], Mapping[str, Any]] = {
    ("ConfigMap", "settings"): {"data": {"LEVEL": "high", "mode": "fast"}},
    ("Secret", "token"): {"data": {"auth": base64.b64encode(b"s3cret").decode()}},
}


def resolved(*variables: dict[str, Any], sources: list[dict[str, Any]] | None = None, **spec: Any) -> dict[str, str]:
    value = container(env=list(variables), envFrom=sources or [], **spec)
    fields = Fields(pod(value), "10.88.8.1", "10.88.7.1", resources({"cpu": "7910m", "memory": "29317Mi"}))
    return resolve(
        Container(value, is_init=False), {"BASE": "image"}, fields, lambda kind, name: STORES.get((kind, name))
    )


def source(**reference: Any) -> dict[str, Any]:
    return {"name": "X", "valueFrom": reference}


def test_a_later_variable_refers_to_an_earlier_one_and_to_the_images_own() -> None:
    found = resolved({"name": "A", "value": "1"}, {"name": "B", "value": "$(A)-$(BASE)-$(NONE)-$$(A)"})
    assert found == {"BASE": "image", "A": "1", "B": "1-image-$(NONE)-$(A)"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"),
        ("metadata.namespace", "ns"),
        ("metadata.uid", "u1"),
        ("metadata.labels['app']", "chat"),
        ("metadata.annotations['note']", "hello"),
        ("metadata.labels['none']", ""),
        ("spec.nodeName", "n"),
        ("spec.serviceAccountName", "robot"),
        ("status.podIP", "10.88.8.1"),
        ("status.hostIP", "10.88.7.1"),
    ],
)
def test_fields_of_the_pod_can_be_had(path: str, value: str) -> None:
    assert resolved(source(fieldRef={"fieldPath": path}))["X"] == value


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ({"resource": "limits.cpu"}, "2"),
        ({"resource": "requests.cpu", "divisor": "1m"}, "1500"),
        ({"resource": "limits.memory"}, str(8 << 30)),
        ({"resource": "limits.memory", "divisor": "1Gi"}, "8"),
        ({"resource": "requests.memory"}, "0"),
    ],
)
def test_resources_are_rounded_up_to_whole_divisors(reference: dict[str, str], value: str) -> None:
    asked = {"requests": {"cpu": "1500m"}, "limits": {"cpu": "1500m", "memory": "8Gi"}}
    assert resolved(source(resourceFieldRef=reference), resources=asked)["X"] == value


def test_a_limit_that_is_not_set_is_the_nodes() -> None:
    assert resolved(source(resourceFieldRef={"resource": "limits.cpu"}))["X"] == "8"


def test_keys_of_config_maps_and_secrets_can_be_had() -> None:
    assert resolved(source(configMapKeyRef={"name": "settings", "key": "LEVEL"}))["X"] == "high"
    assert resolved(source(secretKeyRef={"name": "token", "key": "auth"}))["X"] == "s3cret"


def test_whole_stores_can_be_had_with_a_prefix() -> None:
    found = resolved(sources=[{"prefix": "C_", "configMapRef": {"name": "settings"}}, {"secretRef": {"name": "token"}}])
    assert found == {"BASE": "image", "C_LEVEL": "high", "C_mode": "fast", "auth": "s3cret"}


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ({"secretKeyRef": {"name": "none", "key": "k"}}, 'secret "none" not found'),
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        ({"secretKeyRef": {"name": "token", "key": "k"}}, "couldn't find key k in Secret ns/token"),
        ({"fieldRef": {"fieldPath": "status.qosClass"}}, "unsupported fieldPath: status.qosClass"),
    ],
)
def test_what_is_not_there_is_said_as_a_kubelet_says_it(reference: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Unresolved, match=sentence):
        resolved(source(**reference))


def test_what_is_optional_may_be_missing() -> None:
    optional = {"name": "none", "key": "k", "optional": True}
    found = resolved(
        source(secretKeyRef=optional),
        source(configMapKeyRef={**optional, "name": "settings"}),
        sources=[{"secretRef": {"name": "none", "optional": True}}],
    )
    assert found == {"BASE": "image"}


def test_a_missing_store_is_said() -> None:
    with pytest.raises(Unresolved, match='configmap "none" not found'):
        resolved(sources=[{"configMapRef": {"name": "none"}}])


def test_arguments_are_expanded_like_values() -> None:
    assert expand("$(A) $A $(B", {"A": "1"}) == "1 $A $(B"
