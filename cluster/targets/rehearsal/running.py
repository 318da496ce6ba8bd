"""The lab that stands on this machine, as it wrote itself down: lab.json in its home."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import Refused
from cluster.rehearsal.scenario import Scenario


@dataclass(frozen=True, slots=True)
class RunningLab:
    """What is needed of it to deploy onto it."""

    kubeconfig: Path
    chat_url: str  # leads to the chatbot's Service
    scenario: Scenario  # in seconds of the field
    components: Mapping[str, int]  # pid by name


def find(home: Path) -> RunningLab:
    """Raises Refused with what to do where no lab runs."""
    try:
        document = json.loads((home / "lab.json").read_text("utf-8"))
    except FileNotFoundError:
        document = None
    if document is None or started_ticks(document["pid"]) != document["started_ticks"]:
        raise Refused("The rehearsal's lab does not run on this machine; start it: python -m cluster rehearsal up")
    return RunningLab(
        Path(document["kubeconfig"]),
        document["chat_url"],
        Scenario.from_json(document["scenario"]),
        {component["name"]: component["pid"] for component in document["components"]},
    )


def started_ticks(pid: int) -> int:
    """When that process began, in ticks since boot; 0 for one that is gone or only waits to be reaped."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(") ")[2].split()
    except OSError:
        return 0
    return 0 if after_name[0] == "Z" else int(after_name[19])
