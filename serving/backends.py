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

OnStage = Callable[[str, float], None]  # a start-up stage that has passed, and its seconds

_log = logging.getLogger(__name__)


def open_runner(settings: Settings, *, clock: Clock, on_stage: OnStage) -> tuple[Runner, ModelFolder]:
    """Load the model, which may take minutes. Raises SetupError for what a person must mend."""
    kind = settings.runner.kind
    if kind not in _OPENERS:
        raise SetupError(f"runner.kind {kind} is not in this version: use {' or '.join(_OPENERS)}.")
    return _OPENERS[kind](settings, clock, on_stage)


def _openvino(settings: Settings, _clock: Clock, _on_stage: OnStage) -> tuple[Runner, ModelFolder]:
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


def _simulated(settings: Settings, clock: Clock, on_stage: OnStage) -> tuple[Runner, ModelFolder]:
    from serving.engine.runners.simulated import MODEL_FOLDER, SimulatedRunner, load_profile

    wanted = settings.runner
    runner = SimulatedRunner(load_profile(wanted.profile), slots=wanted.slots, positions=wanted.positions, clock=clock)
    runner.wait_start_up(on_stage)
    return runner, ModelFolder.open(MODEL_FOLDER)


_OPENERS: dict[str, Callable[[Settings, Clock, OnStage], tuple[Runner, ModelFolder]]] = {
    "openvino": _openvino,
    "simulated": _simulated,
}
