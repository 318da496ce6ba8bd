"""A pod as its spec says it: the parts that the kubelet decides by, read once."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from cluster.objects import dig, mapping, mappings, sequence, text

ProbeKind = Literal["startup", "liveness", "readiness"]
PROBE_KINDS: tuple[ProbeKind, ...] = ("startup", "liveness", "readiness")
Object = Mapping[str, Any]

_DEFAULT_GRACE_S = 30


@dataclass(frozen=True, slots=True)
class Probe:
    """One of a container's probes; `action` holds its httpGet, tcpSocket, exec or grpc."""

    action: Object
    initial_delay_s: float
    period_s: float
    timeout_s: float
    success_threshold: int
    failure_threshold: int

    @classmethod
    def read(cls, value: Object) -> Probe:
        """With the API's defaults, which the API server has filled in already where it could."""
        return cls(
            action=value,
            initial_delay_s=float(value.get("initialDelaySeconds") or 0),
            period_s=float(value.get("periodSeconds") or 10),
            timeout_s=float(value.get("timeoutSeconds") or 1),
            success_threshold=int(value.get("successThreshold") or 1),
            failure_threshold=int(value.get("failureThreshold") or 3),
        )


@dataclass(frozen=True)
class Container:
    """One container of a pod; `value` is its part of the spec."""

    value: Object
    is_init: bool

    @cached_property
    def name(self) -> str:
        """Unique in its pod."""
        return text(self.value.get("name"))

    @cached_property
    def image(self) -> str:
        """The reference as written."""
        return text(self.value.get("image"))

    @cached_property
    def probes(self) -> Mapping[ProbeKind, Probe]:
        """Those that it has."""
        found = {kind: mapping(self.value.get(f"{kind}Probe")) for kind in PROBE_KINDS}
        return {kind: Probe.read(value) for kind, value in found.items() if value}

    @property
    def command(self) -> list[str]:
        """Replaces the image's own, when not empty."""
        return [text(part) for part in sequence(self.value.get("command"))]

    @property
    def args(self) -> list[str]:
        """Follow the command."""
        return [text(part) for part in sequence(self.value.get("args"))]

    @property
    def mounts(self) -> list[Object]:
        """Its `volumeMounts`."""
        return mappings(self.value.get("volumeMounts"))

    @property
    def pre_stop(self) -> Object:
        """The handler that runs before TERM is sent, empty for none."""
        return mapping(dig(self.value, "lifecycle", "preStop"))

    def port(self, name: str) -> int:
        """The number of a port by its name, or of a number written as text; 0 where there is none."""
        if name.isdecimal():
            return int(name)
        found = (port for port in mappings(self.value.get("ports")) if port.get("name") == name)
        return int(next(found, {}).get("containerPort") or 0)

    @property
    def field_path(self) -> str:
        """How events name it."""
        return f"spec.{'initContainers' if self.is_init else 'containers'}{{{self.name}}}"


@dataclass(frozen=True)
class Pod:
    """One pod as the API server last showed it."""

    value: Object

    @cached_property
    def uid(self) -> str:
        """Tells it from another pod of the same name."""
        return text(dig(self.value, "metadata", "uid"))

    @cached_property
    def name(self) -> str:
        """Unique in its namespace at any one time."""
        return text(dig(self.value, "metadata", "name"))

    @cached_property
    def namespace(self) -> str:
        """Where it lives."""
        return text(dig(self.value, "metadata", "namespace"))

    @cached_property
    def spec(self) -> Object:
        """As bound to its node."""
        return mapping(self.value.get("spec"))

    @cached_property
    def node(self) -> str:
        """The name of its node."""
        return text(self.spec.get("nodeName"))

    @cached_property
    def init_containers(self) -> list[Container]:
        """In their order."""
        return [Container(value, is_init=True) for value in mappings(self.spec.get("initContainers"))]

    @cached_property
    def containers(self) -> list[Container]:
        """Those that run side by side."""
        return [Container(value, is_init=False) for value in mappings(self.spec.get("containers"))]

    @property
    def all_containers(self) -> list[Container]:
        """Those that run first and those that run then."""
        return [*self.init_containers, *self.containers]

    @property
    def volumes(self) -> list[Object]:
        """What its containers can mount."""
        return mappings(self.spec.get("volumes"))

    @property
    def service_account(self) -> str:
        """Whose tokens it gets."""
        return text(self.spec.get("serviceAccountName")) or "default"

    @property
    def has_host_network(self) -> bool:
        """Whether it shares the node's network."""
        return self.spec.get("hostNetwork") is True

    @property
    def hostname(self) -> str:
        """What its processes are told."""
        return text(self.spec.get("hostname")) or self.name

    @property
    def full_name(self) -> str:
        """As messages write it."""
        return f"{self.name}_{self.namespace}({self.uid})"

    @property
    def grace_s(self) -> float:
        """Between TERM and KILL when a container is ended for another reason than the pod's deletion."""
        grace = self.spec.get("terminationGracePeriodSeconds")
        return float(_DEFAULT_GRACE_S if grace is None else grace)

    @property
    def is_terminating(self) -> bool:
        """Whether it has been asked to end."""
        return bool(dig(self.value, "metadata", "deletionTimestamp"))

    @property
    def deadline(self) -> float:
        """When what is left of a terminating pod is killed, in seconds of the epoch."""
        stamp = text(dig(self.value, "metadata", "deletionTimestamp"))  # already the request's time plus the grace
        return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()

    @property
    def was_finished(self) -> bool:
        """Whether it had ended for good when the API server showed it."""
        return text(dig(self.value, "status", "phase")) in {"Succeeded", "Failed"}

    def restarts(self, container: Container, exit_code: int) -> bool:
        """Whether a container that ended so is started again."""
        policy = text(self.spec.get("restartPolicy")) or "Always"
        if container.is_init:
            return exit_code != 0 and policy != "Never"
        return policy == "Always" or (policy == "OnFailure" and exit_code != 0)

    def security(self, container: Container, field: str) -> Any:
        """A field of the container's security context, else of the pod's."""
        own = dig(container.value, "securityContext", field)
        return dig(self.spec, "securityContext", field) if own is None else own
