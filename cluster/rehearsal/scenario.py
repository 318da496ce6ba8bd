"""What the rehearsed world is like: how long its stages take in the field, how fast they pass here, and what is broken in it.

Every time is that of the field. `scaled()` divides it by `speed`; parts of the lab read that copy and wait it out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from cluster.errors import Refused

SHIPPED = Path(__file__).parent / "scenarios"

Seconds = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Broken:
    """What does not happen. Whatever else a fault breaks is in a manifest, or a component that is absent."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    nodes_never_launch: bool = False  # an instance runs and no Node object ever appears
    nodes_never_ready: bool = False  # the Node object appears and never turns Ready
    images_missing: tuple[str, ...] = ()  # references that the registry does not know


@dataclass(frozen=True, slots=True)
class Scenario:
    """The times of one world, in seconds."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    description: str
    node_launch_s: Seconds  # from a launched instance to its Node object
    node_ready_s: Seconds  # from the Node object to the condition Ready
    device_advertised_s: Seconds  # from the device plugin's start to the node's aws.amazon.com/* resources
    image_pull_s: Mapping[str, Seconds]  # by image reference; once for each node; others take no time
    model_load_s: Seconds  # a replica's weights and compiled graphs, from process start to the first forward pass
    speed: Annotated[float, Field(gt=0)] = 20.0  # seconds of the field that pass in one second here
    runner: Literal["simulated", "real"] = "simulated"  # real: the prepared small model, by OpenVINO
    absent: tuple[str, ...] = ()  # components of the lab that are not started
    subnet_zones: tuple[str, ...] = ("a", "b", "c")  # in us-east-1 trn1.2xlarge is offered in c and f only
    broken: Broken = field(default_factory=Broken)

    def scaled(self) -> Scenario:
        """The same world with the times that pass here; its speed is 1, so scaling it again changes nothing."""
        times = {name: getattr(self, name) / self.speed for name in _TIMES}
        pulls = {image: seconds / self.speed for image, seconds in self.image_pull_s.items()}
        return dataclasses.replace(self, **times, image_pull_s=pulls, speed=1.0)

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        document: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: object) -> Scenario:
        """Raises Refused with the first field that is wrong."""
        return _validated(document, "The scenario")


_TIMES = ("node_launch_s", "node_ready_s", "device_advertised_s", "model_load_s")
_ADAPTER = TypeAdapter(Scenario)


def read(name_or_path: str) -> Scenario:
    """A shipped scenario by name, else a YAML file by path. Raises Refused with the field that is wrong."""
    shipped = SHIPPED / f"{name_or_path}.yaml"
    path = shipped if shipped.is_file() else Path(name_or_path)
    try:
        document = yaml.safe_load(path.read_bytes())
    except OSError as error:
        known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.yaml")))
        raise Refused(f"There is no scenario {name_or_path!r}: name one of {known}, or a YAML file.") from error
    except yaml.YAMLError as error:
        raise Refused(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
    return _validated(document, str(path))


def _validated(document: object, where: str) -> Scenario:
    try:
        return _ADAPTER.validate_python(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        raise Refused(f"{where}: {name or 'the document'}: {first['msg'].rstrip('.')}.") from error
