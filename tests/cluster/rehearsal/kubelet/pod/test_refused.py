from __future__ import annotations

from typing import Any

import pytest

from cluster.rehearsal.kubelet.pod.refused import NotSimulated, refuse_container, refuse_pod
from tests.support.kubelet_pods import container, pod


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"activeDeadlineSeconds": 5}, "activeDeadlineSeconds"),
        ({"hostPID": True, "hostIPC": True}, "hostIPC, hostPID"),
    ],
)
def test_a_pod_is_refused_by_what_it_asks_for(spec: dict[str, Any], named: str) -> None:
    with pytest.raises(NotSimulated, match=f"not simulated by the process kubelet: {named}$"):
        refuse_pod(pod(**spec))


def test_a_port_of_the_node_is_refused() -> None:
    with pytest.raises(NotSimulated, match="hostPort"):
        refuse_pod(pod(container(ports=[{"hostPort": 80}])))


def test_hooks_after_the_start_and_sidecars_are_refused() -> None:
    made = pod(
        container(lifecycle={"postStart": {"exec": {}}}), initContainers=[container("i", restartPolicy="Always")]
    )
    with pytest.raises(NotSimulated, match=r"lifecycle\.postStart"):
        refuse_container(made.containers[0])
    with pytest.raises(NotSimulated, match="sidecar"):
        refuse_container(made.init_containers[0])


def test_an_ordinary_pod_is_not_refused() -> None:
    made = pod(container(lifecycle={"preStop": {"sleep": {"seconds": 1}}}), hostPID=False)
    refuse_pod(made)
    refuse_container(made.containers[0])
