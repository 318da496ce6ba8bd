"""From settings to the Neuron runner: plan, checkpoint, memory check, compiled graphs, model. In this order.

Whatever does not go together is said before anything is loaded: a wrong plan costs a second, a wrong start an hour.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from serving.engine.runner import RunnerSpec
from serving.engine.runners.neuron.memory import GIB, MemoryEstimate, check_fits, estimate, kv_bytes_per_token
from serving.engine.runners.neuron.plan import BITS, ModelShape, NeuronPlan, Sampling
from serving.engine.runners.neuron.runner import NeuronLibrary, NeuronRunner, OnStage
from serving.errors import SetupError
from serving.model.folder import ModelFolder
from serving.settings import NeuronSettings, Settings, neuron_environment

LIBRARY = "serving.engine.runners.neuron.library"
# Read by the library itself; each would change what one replica on one machine does.
_MUST_BE_UNSET = (
    "NEURON_RANK_ID",
    "NEURON_LOCAL_TP",
    "NEURON_PP_STAGES",
    "CPU_COMM_ID",
    "NEURONX_DUMP_TO",
    "NEURON_INTERNAL_TRANSFORM_WEIGHT_LAYOUT",
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan that goes with its checkpoint and fits on the chip."""

    folder: ModelFolder
    config: Mapping[str, Any]  # the checkpoint's config.json
    shape: ModelShape
    plan: NeuronPlan
    memory: MemoryEstimate


def plan(settings: Settings) -> Planned:
    """Check everything that can be checked without the library. Raises SetupError with what to change."""
    _check_environment(neuron_environment())
    folder = checkpoint_folder(settings)
    config = json.loads((folder.path / "config.json").read_text(encoding="utf-8"))
    shape = ModelShape.from_config(config)
    planned = _plan(settings)
    planned.check(shape, config)
    memory = estimate(
        planned,
        shape,
        core_bytes=int(settings.neuron.core_memory_gib * GIB),
        reserve_bytes=int(settings.neuron.reserve_gib * GIB),
    )
    check_fits(planned, shape, memory)
    return Planned(folder, config, shape, planned, memory)


def open_neuron(settings: Settings, *, on_stage: OnStage) -> tuple[NeuronRunner, ModelFolder]:
    """The runner, with the model on the device. Raises SetupError."""
    planned = plan(settings)
    library = library_of(settings.neuron)
    versions = library.versions()
    _log.info("neuron plan\n%s", planned.memory.table(), extra={"versions": dict(versions)})
    if settings.neuron.library != LIBRARY:
        _log.warning("not the vendor's library", extra={"library": settings.neuron.library})
    model = library.load_model(planned.folder.path, planned.plan, planned.shape, graphs=None, on_stage=on_stage)
    return NeuronRunner(model, planned.plan, _spec(planned, versions)), planned.folder


def library_of(settings: NeuronSettings) -> NeuronLibrary:
    """The module that `neuron.library` names."""
    try:
        return cast(NeuronLibrary, importlib.import_module(settings.library))
    except ImportError as error:
        raise SetupError(f"neuron.library {settings.library} cannot be imported: {error}") from error


def checkpoint_folder(settings: Settings) -> ModelFolder:
    """The Hugging Face checkpoint that `model.name` names."""
    path = Path(settings.model.name).expanduser()
    if not path.is_dir():
        raise SetupError(
            f"The neuron runner serves a Mistral checkpoint folder, and model.name {settings.model.name!r} is none: "
            "name the folder of Mistral-7B-Instruct-v0.3 with its safetensors and tokenizer.json."
        )
    return ModelFolder.open(path)


def _plan(settings: Settings) -> NeuronPlan:
    wanted, runner = settings.neuron, settings.runner
    if wanted.decode_buckets and wanted.decode_buckets[-1] != runner.positions:
        raise SetupError(
            f"runner.positions is {runner.positions}, the last of neuron.decode_buckets {wanted.decode_buckets[-1]}: "
            "they have to be the same number."
        )
    return NeuronPlan(
        slots=runner.slots,
        decode_buckets=wanted.decode_buckets,
        prefill_buckets=wanted.prefill_buckets,
        sampling=Sampling(wanted.sampling),
        global_top_k=wanted.global_top_k,
        tp_degree=wanted.tp_degree,
        amp=wanted.amp,
        attention_layout=wanted.attention_layout,
        fuse_qkv=wanted.fuse_qkv,
        compile_workers=wanted.compile_workers,
    )


def _spec(planned: Planned, versions: Mapping[str, str]) -> RunnerSpec:
    plan, folder = planned.plan, planned.folder
    bits = BITS[plan.amp]
    return RunnerSpec(
        model_id=folder.model_id,
        fingerprint=f"transformers-neuronx-{versions['transformers-neuronx']}-{plan.amp}-{plan.sampling.value}",
        slots=plan.slots,
        positions=plan.positions,
        longest_prompt=plan.longest_prompt,
        vocabulary=planned.shape.vocabulary,
        eos_token_ids=folder.eos_token_ids,
        splits_prompts=False,
        samples_on_device=plan.sampling is Sampling.DEVICE,
        reproducible=False,  # a step's bucket depends on the company, and so does the order of its sums
        weight_bits=bits,
        kv_bits=bits,
        kv_bytes=plan.slots * plan.positions * kv_bytes_per_token(planned.shape, plan.amp),
    )


def _check_environment(environment: Mapping[str, str]) -> None:
    found = [name for name in _MUST_BE_UNSET if name in environment]
    if found:
        raise SetupError(f"{', '.join(found)}: unset in the environment what is for multi-host runs or debugging only.")
