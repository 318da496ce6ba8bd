"""From `runner.kind` to a runner and the folder with its model's tokenizer; only the chosen library is imported."""

from __future__ import annotations

import logging
from collections.abc import Callable

from serving.engine.clock import Clock
from serving.engine.runner import Runner
from serving.errors import SetupError
from serving.model.folder import ModelFolder
from serving.model.prepare import find
from serving.settings import Settings
from serving.startup import Stages

_log = logging.getLogger(__name__)


def open_runner(settings: Settings, *, clock: Clock, stages: Stages) -> tuple[Runner, ModelFolder]:
    """Load the model, which may take minutes. Raises SetupError for what a person must mend."""
    return _OPENERS[settings.runner.kind](settings, clock, stages)


def _openvino(settings: Settings, _clock: Clock, _stages: Stages) -> tuple[Runner, ModelFolder]:
    folder = find(settings.model)
    try:
        from serving.engine.runners.openvino import OpenVinoRunner
    except ImportError as error:
        raise SetupError(
            f"The openvino runner needs the extra `cpu` ({error}): install trainium-chatbot[cpu]."
        ) from error
    wanted = settings.runner
    runner = OpenVinoRunner(
        folder, slots=wanted.slots, positions=wanted.positions, precision=wanted.precision, threads=wanted.threads
    )
    _log.info(runner.describe())
    return runner, folder


def _simulated(settings: Settings, clock: Clock, stages: Stages) -> tuple[Runner, ModelFolder]:
    from serving.engine.runners.simulated import MODEL_FOLDER, SimulatedRunner, load_profile

    wanted = settings.runner
    profile = load_profile(wanted.profile)
    if wanted.start_up_s is not None:
        profile = profile.starting_in(wanted.start_up_s)
    runner = SimulatedRunner(profile, slots=wanted.slots, positions=wanted.positions, clock=clock)
    runner.wait_start_up(stages.record)
    return runner, ModelFolder.open(MODEL_FOLDER)


def _neuron(settings: Settings, _clock: Clock, stages: Stages) -> tuple[Runner, ModelFolder]:
    from serving.neuron import open_neuron

    return open_neuron(settings, stages=stages)


_OPENERS: dict[str, Callable[[Settings, Clock, Stages], tuple[Runner, ModelFolder]]] = {
    "openvino": _openvino,
    "simulated": _simulated,
    "neuron": _neuron,
}
