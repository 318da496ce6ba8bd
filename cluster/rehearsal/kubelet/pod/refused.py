"""What a pod may ask for that this kubelet would have to pretend: it is refused by name instead."""

from __future__ import annotations

from cluster.objects import dig, mappings
from cluster.rehearsal.kubelet.pod.spec import Container, Pod

_OF_THE_POD = ("activeDeadlineSeconds", "hostIPC", "hostPID", "runtimeClassName", "shareProcessNamespace")


class NotSimulated(Exception):
    """`str()` names what is asked for."""


def refuse_pod(pod: Pod) -> None:
    """Raises NotSimulated."""
    asked = [name for name in _OF_THE_POD if pod.spec.get(name)]
    if any(port.get("hostPort") for c in pod.all_containers for port in mappings(c.value.get("ports"))):
        asked.append("hostPort")
    _refuse(asked)


def refuse_container(container: Container) -> None:
    """Raises NotSimulated."""
    asked = ["lifecycle.postStart"] if dig(container.value, "lifecycle", "postStart") else []
    if container.is_init and container.value.get("restartPolicy"):
        asked.append("restartPolicy of an init container (a sidecar)")
    _refuse(asked)


def _refuse(asked: list[str]) -> None:
    if asked:
        raise NotSimulated(f"not simulated by the process kubelet: {', '.join(asked)}")
