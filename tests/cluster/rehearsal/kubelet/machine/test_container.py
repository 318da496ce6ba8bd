from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cluster.rehearsal.kubelet.config import Image
from cluster.rehearsal.kubelet.machine import container as containers
from cluster.rehearsal.kubelet.machine.container import CAPABILITIES, Start
from cluster.rehearsal.kubelet.machine.sandbox import Sandbox
from cluster.rehearsal.kubelet.pod.fields import Unresolved
from tests.support.kubelet_pods import container, pod

NOBODY_KNOWS = 54_321
IMAGE = Image(("/usr/bin",), {"LEVEL": "3"}, workdir="/opt/app", command=("serve",))


def start(tmp_path: Path, value: dict[str, Any] | None = None, **spec: Any) -> Start:
    made = pod(value or container(), **spec)
    sandbox = Sandbox(tmp_path / "pod", "pod-10.88.8.1")
    volume = tmp_path / "volume"
    volume.mkdir(exist_ok=True)
    return Start(
        pod=made,
        container=made.containers[0],
        image=IMAGE,
        environment={"NAME": "x"},
        volumes={"v": volume},
        sandbox=sandbox,
        folder=sandbox.memory / "containers/c-1",
        group=None,
    )


def specification(tmp_path: Path, value: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return containers.specification(start(tmp_path, value, **spec), ["/"], ["/lab"])


def test_command_and_args_are_the_pods_else_the_images(tmp_path: Path) -> None:
    assert specification(tmp_path, container(command=["run"], args=["$(NAME)"]))["argv"] == ["run", "x"]
    assert specification(tmp_path, container(command=[], args=["-v"]))["argv"] == ["serve", "-v"]


def test_no_command_at_all_is_said() -> None:
    made = pod(container(command=[]))
    with pytest.raises(Unresolved, match="no command specified"):
        containers.argv(made.containers[0], Image(()), {})


def test_a_container_runs_as_its_own_user_else_as_the_pods(tmp_path: Path) -> None:
    made = specification(
        tmp_path, securityContext={"runAsUser": NOBODY_KNOWS, "fsGroup": 2000, "supplementalGroups": [7]}
    )
    assert (made["uid"], made["gid"], made["groups"]) == (NOBODY_KNOWS, 0, [2000, 7])
    own = specification(
        tmp_path, container(securityContext={"runAsUser": 5, "runAsGroup": 6}), securityContext={"runAsUser": 9}
    )
    assert (own["uid"], own["gid"]) == (5, 6)


def test_other_users_are_let_through_to_the_images_files(tmp_path: Path) -> None:
    assert specification(tmp_path)["reachable"] == []
    assert os.path.realpath("/usr/bin") in specification(tmp_path, securityContext={"runAsUser": 5})["reachable"]


def test_a_pod_that_must_not_run_as_root_does_not(tmp_path: Path) -> None:
    with pytest.raises(Unresolved, match="runAsNonRoot and image will run as root"):
        specification(tmp_path, securityContext={"runAsNonRoot": True})


def test_outer_mounts_come_before_inner_ones(tmp_path: Path) -> None:
    mounts = [
        {"name": "v", "mountPath": "/data/inner", "subPath": "below", "readOnly": True},
        {"name": "v", "mountPath": "/data"},
    ]
    binds = specification(tmp_path, container(volumeMounts=mounts))["binds"][-2:]
    assert binds == [
        {"source": str(tmp_path / "volume"), "target": "/data", "read_only": False},
        {"source": str(tmp_path / "volume/below"), "target": "/data/inner", "read_only": True},
    ]


@pytest.mark.parametrize(
    ("mount", "sentence"),
    [
        ({"name": "none", "mountPath": "/data"}, "volume none not found"),
        ({"name": "v", "mountPath": "/data", "subPath": "../.."}, "leaves the volume"),
    ],
)
def test_mounts_that_cannot_be_are_said(tmp_path: Path, mount: dict[str, str], sentence: str) -> None:
    with pytest.raises(Unresolved, match=sentence):
        specification(tmp_path, container(volumeMounts=[mount]))


def test_every_container_has_a_tmp_of_its_own_and_sees_nothing_of_the_lab(tmp_path: Path) -> None:
    made = start(tmp_path)
    document = containers.specification(made, ["/"], ["/lab"])
    assert document["hidden"] == ["/tmp", "/run", "/lab"]  # noqa: S108
    assert {"source": str(made.temporary), "target": "/tmp", "read_only": False} in document["binds"]  # noqa: S108
    assert made.temporary.is_relative_to(made.sandbox.disk)


def kept(context: dict[str, Any]) -> set[str]:
    made = pod(container(securityContext=context))
    dropped = containers.dropped_capabilities(made, made.containers[0])
    return {name for number, name in enumerate(CAPABILITIES) if number not in dropped}


def test_capabilities_are_a_container_runtimes_changed_as_asked() -> None:
    assert "CHOWN" in kept({})
    assert "SYS_ADMIN" not in kept({})
    assert kept({"capabilities": {"drop": ["ALL"]}}) == set()
    assert kept({"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}) == {"NET_ADMIN"}
    assert "CHOWN" not in kept({"capabilities": {"drop": ["CHOWN"]}})
    assert kept({"privileged": True}) == set(CAPABILITIES)


def test_a_user_other_than_root_has_a_home_that_can_be_written(tmp_path: Path) -> None:
    made = start(tmp_path, securityContext={"runAsUser": 5})
    environment = containers.base_environment(made.pod, made.container, IMAGE, {"KUBERNETES_SERVICE_HOST": "h"})
    assert environment["HOME"] == "/tmp"  # noqa: S108
    assert environment["KUBERNETES_SERVICE_HOST"] == "h"
    assert environment["LEVEL"] == "3"
