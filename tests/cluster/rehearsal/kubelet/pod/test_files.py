from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from cluster.rehearsal.kubelet.pod.environment import StoreKind
from cluster.rehearsal.kubelet.pod.fields import Fields, Unresolved
from cluster.rehearsal.kubelet.pod.files import File, Sources, files
from tests.support.kubelet_pods import pod

STORES: dict[tuple[StoreKind, str], Mapping[str, Any]] = {
    ("ConfigMap", "ca"): {"data": {"ca.crt": "PEM"}, "binaryData": {"raw": base64.b64encode(b"\0\1").decode()}},
    ("Secret", "keys"): {"data": {"a": base64.b64encode(b"1").decode(), "b": base64.b64encode(b"2").decode()}},
}
SOURCES = Sources(
    Fields(pod(), "10.88.8.1", "10.88.7.1", {}),
    lambda kind, name: STORES.get((kind, name)),
    lambda audience, lifetime_s: f"token for {audience or 'the API server'}, {lifetime_s} s",
)


def test_a_config_map_becomes_a_file_for_each_key() -> None:
    assert files({"configMap": {"name": "ca"}}, SOURCES) == [
        File("raw", b"\0\1", 0o644),
        File("ca.crt", b"PEM", 0o644),
    ]


def test_chosen_keys_get_paths_and_modes_of_their_own() -> None:
    volume = {
        "secret": {
            "secretName": "keys",
            "defaultMode": 0o400,
            "items": [{"key": "a", "path": "x/a"}, {"key": "b", "path": "b", "mode": 0o444}],
        }
    }
    assert files(volume, SOURCES) == [File("x/a", b"1", 0o400), File("b", b"2", 0o444)]


def test_the_api_servers_own_volume_holds_token_authority_and_namespace() -> None:
    volume = {
        "projected": {
            "defaultMode": 0o420,
            "sources": [
                {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
                {"configMap": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
            ],
        }
    }
    assert [(file.path, file.content, file.mode) for file in files(volume, SOURCES)] == [
        ("token", b"token for the API server, 3607 s", 0o420),
        ("ca.crt", b"PEM", 0o420),
        ("namespace", b"ns", 0o420),
    ]


def test_the_downward_api_writes_labels_as_lines() -> None:
    volume = {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
    assert files(volume, SOURCES)[0].content == b'app="chat"\ntier="front"'


@pytest.mark.parametrize(
    ("volume", "sentence"),
    [
        ({"configMap": {"name": "none"}}, 'configmap "none" not found'),
        ({"secret": {"secretName": "none"}}, 'secret "none" not found'),
        (
            {"secret": {"secretName": "keys", "items": [{"key": "c", "path": "c"}]}},
            "references non-existent secret key: c",
        ),
        ({"projected": {"sources": [{"clusterTrustBundle": {}}]}}, "clusterTrustBundle is not simulated"),
    ],
)
def test_what_is_missing_is_said(volume: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Unresolved, match=sentence):
        files(volume, SOURCES)


def test_an_optional_store_may_be_missing() -> None:
    assert files({"configMap": {"name": "none", "optional": True}}, SOURCES) == []
