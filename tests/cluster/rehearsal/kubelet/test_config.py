from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import Refused
from cluster.rehearsal import scenario
from cluster.rehearsal.kubelet.config import Config, Image

DOCUMENT = {
    "home": "/lab/kubelet",
    "kubeconfig": "/lab/kubelet.kubeconfig",
    "address": "10.88.7.1",
    "bridge": "lab0",
    "pod_network": "10.88.8.0/21",
    "api_server": "https://10.88.7.1:6443",
    "certificate": "/lab/kubelet.crt",
    "key": "/lab/kubelet.key",
    "images": {"app:1": {"path": ["/venv/bin"], "environment": {"A": "1"}, "workdir": "/app", "command": ["run"]}},
    "scenario": scenario.read("field").to_json(),
}


def read(tmp_path: Path, document: Any) -> Config:
    path = tmp_path / "kubelet.json"
    path.write_text(json.dumps(document))
    return Config.read(path)


def test_the_supervisors_file_is_read(tmp_path: Path) -> None:
    config = read(tmp_path, DOCUMENT)
    assert config.images == {"app:1": Image(("/venv/bin",), {"A": "1"}, "/app", ("run",))}
    assert config.scenario == scenario.read("field")


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({name: value for name, value in DOCUMENT.items() if name != "bridge"}, "says nothing about 'bridge'"),
        ([], "is no kubelet configuration"),
        ({**DOCUMENT, "images": {"app:1": 3}}, "is no kubelet configuration"),
        ({**DOCUMENT, "scenario": {}}, "The scenario: description"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_a_sentence(tmp_path: Path, document: Any, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        read(tmp_path, document)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        Config.read(tmp_path / "none.json")
