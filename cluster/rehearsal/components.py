"""Every part of a lab, in the order in which they are started: what it runs, when it is ready, what it waits for."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.errors import Refused
from cluster.rehearsal import addresses, nodes
from cluster.rehearsal.build import Built
from cluster.rehearsal.component import Component, answers
from cluster.rehearsal.control_plane import API_SERVER, ControlPlane
from cluster.rehearsal.ec2 import READY_PATH
from cluster.rehearsal.kubelet.device_plugin import DELAY_VARIABLE
from cluster.rehearsal.scenario import Scenario

ROOT = Path(__file__).resolve().parents[2]
PLUGIN_IMAGE = "public.ecr.aws/neuron/neuron-device-plugin:2.22.4.0"
EC2, FORWARD, KWOK, KUBELET, KARPENTER, KUBERAY = (
    "ec2", "forward", "kwok", "kubelet", "karpenter", "kuberay-operator",
)  # fmt: skip

# What the lab's programs take from the environment of the person who starts it. No proxy, no AWS profile, no kubeconfig.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "XDG_CACHE_HOME")
_FAKE_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "rehearsal", "AWS_SECRET_ACCESS_KEY": "rehearsal"}


@dataclass(frozen=True, slots=True)
class Sockets:
    """Descriptors that listen on the machine's loopback, handed down to whoever leads their connections inside."""

    api: int
    chat: int


@dataclass(frozen=True, slots=True)
class Parts:
    """What the components of one lab are made of."""

    built: Built
    home: Path
    environment: Mapping[str, str]  # as `inner_environment` makes it
    scenario: Scenario
    sockets: Sockets
    control_plane: ControlPlane

    def components(self) -> list[Component]:
        """Those that the scenario does not leave out. The control plane's files have to be written before.

        Raises Refused where it leaves out what is no component.
        """
        everything = [
            self._ec2(),
            *self.control_plane.components(),
            self._kwok(),
            self._kubelet(),
            self._karpenter(),
            self._kuberay_operator(),
            self._forward(),  # last: it is ready at once, and when all others are it has shown whether it runs
        ]
        names = [component.name for component in everything]
        if unknown := [name for name in self.scenario.absent if name not in names]:
            raise Refused(f"The lab has no component {', '.join(unknown)} to leave out: it has {', '.join(names)}.")
        return [component for component in everything if component.name not in self.scenario.absent]

    def _ec2(self) -> Component:
        zones = ",".join(self.scenario.subnet_zones)
        command = _python("cluster.rehearsal.ec2", addresses.ADDRESS, addresses.EC2_PORT, zones, self.built.cache)
        return Component(EC2, command, self._python_environment(), answers(f"{addresses.EC2}{READY_PATH}"))

    def _kwok(self) -> Component:
        """Makes nodes Ready and keeps their leases; it plays no pod."""
        stages = self.home / "kwok.json"
        command = [
            str(self.built.kwok),
            f"--kubeconfig={self._kubeconfig('kwok')}",
            f"--config={stages}",
            f"--manage-nodes-with-annotation-selector={nodes.MANAGED}",
            f"--node-lease-duration-seconds={nodes.LEASE_S}",
            f"--server-address=127.0.0.1:{addresses.KWOK_PORT}",
        ]
        return Component(
            KWOK,
            command,
            self.environment,
            answers(f"http://127.0.0.1:{addresses.KWOK_PORT}/healthz"),
            after=[API_SERVER],
            prepare=lambda: _write(stages, nodes.stages(self.scenario.scaled())),
        )

    def _forward(self) -> Component:
        sockets = [self.sockets.api, self.sockets.chat]
        return Component(
            FORWARD,
            _python("cluster.rehearsal.forward", self._kubeconfig("forward"), *sockets),
            self._python_environment(),
            lambda: True,  # the sockets listen already: what comes early waits in their queues
            after=[API_SERVER],
            sockets=sockets,
        )

    def _kubelet(self) -> Component:
        config = self.home / "kubelet.json"
        return Component(
            KUBELET,
            _python("cluster.rehearsal.kubelet", config),
            self._python_environment(),
            answers(f"https://{addresses.ADDRESS}:{addresses.KUBELET_PORT}/healthz", trust=self.control_plane.trust()),
            after=[API_SERVER],
            prepare=lambda: _write(config, self._kubelet_config()),
        )

    def _kubelet_config(self) -> dict[str, Any]:
        rehearsed = self.scenario.scaled()
        start_up_s = {"CHATBOT_RUNNER__START_UP_S": str(rehearsed.model_load_s)}
        advertised_s = {DELAY_VARIABLE: str(rehearsed.device_advertised_s)}
        plugin = [sys.executable, "-m", "cluster.rehearsal.kubelet.device_plugin"]
        return {
            "home": str(self.home / "kubelet"),
            "kubeconfig": str(self._kubeconfig("process-kubelet")),
            "address": addresses.ADDRESS,
            "bridge": addresses.BRIDGE,
            "pod_network": addresses.POD_NETWORK,
            "api_server": addresses.API_SERVER,
            "certificate": str(self.home / "kubelet.crt"),
            "key": str(self.home / "kubelet.key"),
            "images": {
                "chatbot-cpu:rehearsal": self._image(start_up_s),  # Serve reads the settings on the head
                "chatbot-neuron:rehearsal": self._image(start_up_s),
                PLUGIN_IMAGE: {**self._image(advertised_s), "command": plugin},
            },
            "scenario": self.scenario.to_json(),
        }

    def _image(self, extra: Mapping[str, str]) -> dict[str, Any]:
        """Our own Python environment and checkout, with the caches of the person who started the lab."""
        caches = {name: value for name, value in self.environment.items() if name in {"HOME", "XDG_CACHE_HOME"}}
        environment = {"PYTHONPATH": str(ROOT), **caches, **extra}
        return {"path": [f"{sys.prefix}/bin"], "environment": environment, "workdir": str(ROOT)}

    def _karpenter(self) -> Component:
        health = addresses.KARPENTER_HEALTH_PORT
        environment = {
            **self.environment,
            **_FAKE_CREDENTIALS,
            "KUBECONFIG": str(self._kubeconfig("karpenter")),
            "SYSTEM_NAMESPACE": "kube-system",
            "CLUSTER_NAME": addresses.CLUSTER,
            "CLUSTER_ENDPOINT": addresses.API_SERVER,
            "AWS_REGION": addresses.REGION,
            "AWS_ENDPOINT_URL": addresses.EC2,
            "AWS_EC2_METADATA_DISABLED": "true",
            "DISABLE_LEADER_ELECTION": "true",
            "METRICS_PORT": str(addresses.KARPENTER_METRICS_PORT),
            "HEALTH_PROBE_PORT": str(health),
            "NODE_LAUNCH_DELAY": f"{nodes.launch_s(self.scenario.scaled()):.3f}s",
        }
        return Component(
            KARPENTER,
            [str(self.built.karpenter)],
            environment,
            answers(f"http://127.0.0.1:{health}/readyz"),
            after=[EC2, API_SERVER],
        )

    def _kuberay_operator(self) -> Component:
        health = f"127.0.0.1:{addresses.KUBERAY_HEALTH_PORT}"
        command = [
            str(self.built.kuberay_operator),
            "--enable-leader-election=false",
            f"--metrics-addr=127.0.0.1:{addresses.KUBERAY_METRICS_PORT}",
            f"--health-probe-bind-address={health}",
            "--use-kubernetes-proxy=true",  # it is no pod, so services and pods are reached by the API server's proxy
        ]
        environment = {**self.environment, "KUBECONFIG": str(self._kubeconfig("kuberay-operator"))}
        return Component(KUBERAY, command, environment, answers(f"http://{health}/readyz"), after=[API_SERVER])

    def _kubeconfig(self, user: str) -> Path:
        return self.control_plane.kubeconfig_for(user, "system:masters")

    def _python_environment(self) -> dict[str, str]:
        return {**self.environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def inner_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """What the lab's programs see of a person's environment."""
    return {name: environment[name] for name in _INHERITED if name in environment}


def _python(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def _write(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, indent=1), "utf-8")
