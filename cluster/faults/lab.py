"""Labs for faults: opened with the scenario that a fault asks for, ended when they are no longer needed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cluster.faults.bench import LabBench
from cluster.faults.rehearse import Bench, OpenBench
from cluster.rehearsal import build
from cluster.rehearsal.programs import PROGRAMS
from cluster.rehearsal.scenario import Scenario, read
from cluster.settings import Settings
from cluster.targets import rehearsal
from cluster.targets.rehearsal import state
from cluster.targets.rehearsal.rehearse import PROJECT

SCENARIO = "field"


def benches(settings: Settings, speed: float, reports: Path, tell: Callable[[str], None]) -> OpenBench:
    """Opens labs one after the other. Raises Refused where one cannot be started here, or runs already."""
    built = build.find(settings.cache_dir)
    environment = {**settings.environment, "PYTHONPATH": str(PROJECT)}

    @contextlib.contextmanager
    def open_bench(differing: Mapping[str, Any]) -> Iterator[Bench]:
        scenario = Scenario.from_json({**read(SCENARIO).to_json(), "speed": speed, **differing})
        lab, state_file = rehearsal.lab_of(settings), rehearsal.state_file(settings)
        tell(f"Starting a lab{' with ' + str(dict(differing)) if differing else ''}")
        running = lab.up(built, settings.environment, scenario)
        try:
            release = rehearsal.open_release(settings, lambda _: None)
            state.write(state_file, state.document(running, release.desired, ()))
            yield LabBench(release, environment, lab, [part.name for part in running.parts], reports)
        finally:
            state_file.unlink(missing_ok=True)
            lab.down()

    return open_bench


def versions() -> dict[str, str]:
    """Of the programs that the faults are tried on."""
    return {program.name: program.version for program in PROGRAMS} | {"Ray": version("ray")}
