from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.rehearsal.kubelet.machine.sandbox import Sandbox
from cluster.rehearsal.kubelet.machine.volumes import Volumes
from cluster.rehearsal.kubelet.pod.fields import Fields, Unresolved
from cluster.rehearsal.kubelet.pod.files import Sources
from tests.support.kubelet_pods import pod

SOURCES = Sources(
    Fields(pod(), "", "", {}),
    lambda _, name: {"data": {"../../evil" if name == "bad" else "a": "1"}},
    lambda *_: "token",
)


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(Sandbox(tmp_path / "pod", None), tmp_path / "node", group=None)


def test_an_empty_folder_on_disk_is_anybodys(volumes: Volumes) -> None:
    folder = volumes.make({"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}, SOURCES)
    assert folder == volumes.sandbox.disk / "volumes/v"
    assert folder.stat().st_mode & 0o777 == 0o777


def test_a_config_map_is_written_with_its_mode(volumes: Volumes) -> None:
    folder = volumes.make({"name": "v", "configMap": {"name": "good", "defaultMode": 0o400}}, SOURCES)
    assert (folder / "a").read_text() == "1"
    assert (folder / "a").stat().st_mode & 0o777 == 0o400


def test_a_path_that_leaves_its_volume_is_refused(volumes: Volumes) -> None:
    with pytest.raises(Unresolved, match="leaves the volume v"):
        volumes.make({"name": "v", "configMap": {"name": "bad"}}, SOURCES)


@pytest.mark.parametrize("kind", ["", "DirectoryOrCreate", "Directory"])
def test_a_path_of_the_host_is_one_of_the_simulated_nodes_own(volumes: Volumes, kind: str) -> None:
    folder = volumes.make({"name": "v", "hostPath": {"path": "/var/lib/kubelet", "type": kind}}, SOURCES)
    assert folder == volumes.node_folder / "var/lib/kubelet"
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"hostPath": {"path": "/dev/neuron0", "type": "CharDevice"}}, "/dev/neuron0 is not a chardevice"),
        ({"persistentVolumeClaim": {"claimName": "x"}}, "persistentVolumeClaim are not simulated"),
    ],
)
def test_what_a_simulated_node_does_not_have_is_said(volumes: Volumes, source: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Unresolved, match=sentence):
        volumes.make({"name": "v", **source}, SOURCES)
