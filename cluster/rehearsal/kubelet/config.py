"""What the kubelet is started with: one JSON file, written by the lab's supervisor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.errors import Refused
from cluster.rehearsal.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Image:
    """What stands for an image: this machine's own file system, seen with this environment."""

    path: tuple[str, ...]  # folders before the standard ones on PATH
    environment: Mapping[str, str] = field(default_factory=dict)
    workdir: str = "/"
    command: tuple[str, ...] = ()  # for pods that name none

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Image:
        """From the configuration's table."""
        return cls(
            path=tuple(value.get("path", ())),
            environment=dict(value.get("environment", {})),
            workdir=value.get("workdir", "/"),
            command=tuple(value.get("command", ())),
        )


@dataclass(frozen=True, slots=True)
class Config:
    """One kubelet for all simulated nodes of one lab."""

    home: Path  # takes pods' folders, logs and the nodes' hostPath folders
    kubeconfig: Path
    address: str  # of the bridge; every node's address, the DNS server's and this server's
    bridge: str
    pod_network: str  # CIDR that pods get their addresses from
    api_server: str  # https://host:port as pods see it
    certificate: Path  # PEM, for the HTTPS server
    key: Path
    images: Mapping[str, Image]
    scenario: Scenario  # unscaled

    @classmethod
    def read(cls, path: Path) -> Config:
        """Raises Refused with what is wrong in the file."""
        try:
            value = json.loads(path.read_text("utf-8"))
            return cls(
                home=Path(value["home"]),
                kubeconfig=Path(value["kubeconfig"]),
                address=value["address"],
                bridge=value["bridge"],
                pod_network=value["pod_network"],
                api_server=value["api_server"],
                certificate=Path(value["certificate"]),
                key=Path(value["key"]),
                images={name: Image.read(image) for name, image in value["images"].items()},
                scenario=Scenario.from_json(value["scenario"]),
            )
        except OSError as error:
            raise Refused(f"The kubelet's configuration cannot be read: {error}.") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise Refused(f"{path} is no kubelet configuration: {error}.") from error
        except KeyError as error:
            raise Refused(f"{path} says nothing about {error}.") from error
