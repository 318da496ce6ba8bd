"""From settings to the Neuron runner: compiled graphs, checkpoint, plan, memory check, model.

Whatever does not go together is said before anything large is read: a wrong plan costs a second, a wrong start an hour.
"""

from __future__ import annotations

import importlib
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

from serving.artifacts import inputs
from serving.artifacts.inputs import Change
from serving.artifacts.manifest import CHECKPOINT, GRAPHS, Manifest
from serving.artifacts.store import Store
from serving.artifacts.transfer import Progress, pull, silent
from serving.engine.runner import RunnerSpec
from serving.engine.runners.neuron.memory import GIB, MemoryEstimate, check_fits, estimate, kv_bytes_per_token
from serving.engine.runners.neuron.plan import BITS, ModelShape, NeuronPlan, PlanError, Sampling
from serving.engine.runners.neuron.runner import NeuronLibrary, NeuronRunner
from serving.errors import SetupError
from serving.model.folder import ModelFolder
from serving.settings import NeuronSettings, Settings, cache_folder, neuron_environment
from serving.startup import Stages

LIBRARY = "serving.engine.runners.neuron.library"
# Read by the library itself; each would change what one replica on one machine does, or what its graphs look like.
_MUST_BE_UNSET = (
    "NEURON_RANK_ID",
    "NEURON_LOCAL_TP",
    "NEURON_PP_STAGES",
    "CPU_COMM_ID",
    "NEURONX_DUMP_TO",
    "HLO_SNAPSHOT_PATH",
    "NEURON_INTERNAL_TRANSFORM_WEIGHT_LAYOUT",
    "NEURON_VOCAB_PAD_DIVISOR",  # makes other graphs, and is no input of the artifacts
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


def open_neuron(settings: Settings, *, stages: Stages, progress: Progress = silent) -> tuple[NeuronRunner, ModelFolder]:
    """The runner, with the model on the device. Raises SetupError; never compiles where artifacts are named."""
    if _named_folder(settings) is not None:
        plan(settings)  # before gigabytes are fetched; a checkpoint that comes with them is judged when it is there
    library = library_of(settings.neuron)
    versions = library.versions()
    if settings.neuron.library != LIBRARY:
        _log.warning("not the vendor's library", extra={"library": settings.neuron.library})
    artifacts = None
    if settings.neuron.artifacts:
        with stages.timed("artifacts"):
            artifacts = fetch(settings, versions=versions, progress=progress)
    planned = plan(settings, artifacts=artifacts)
    _log.info("neuron plan\n%s", planned.memory.table(), extra={"versions": dict(versions)})
    if artifacts is None:
        _log.warning("no neuron.artifacts: compiling now, minutes to an hour")
    graphs = None if artifacts is None else artifacts / GRAPHS
    model = library.load_model(planned.folder.path, planned.plan, planned.shape, graphs=graphs, stage=stages.timed)
    return NeuronRunner(model, planned.plan, _spec(planned, versions)), planned.folder


def fetch(settings: Settings, *, versions: Mapping[str, str], progress: Progress = silent) -> Path:
    """The artifacts of `neuron.artifacts` in a folder of this node, checked. Raises SetupError that names a changed input."""
    store = Store(settings.neuron.artifacts or "", to_read=True)
    manifest = _manifest(store)
    changed = would_compile(settings, manifest, versions=versions)
    if changed:
        raise SetupError(
            f"{store.url} was compiled for something else: {'; '.join(map(str, changed))}. Compile and push again, or set it back."
        )
    folder = cache_folder(settings.model) / "neuron" / inputs.key(manifest.inputs)
    pull(store, folder, workers=settings.neuron.transfers, progress=progress)
    return folder


def would_compile(settings: Settings, manifest: Manifest, *, versions: Mapping[str, str]) -> list[Change]:
    """What makes these artifacts useless for this start; empty when it would not compile.

    A checkpoint that comes with the artifacts goes with them by its checksums.
    """
    return inputs.changes(manifest.inputs, wanted_inputs(settings, manifest, versions=versions))


def wanted_inputs(settings: Settings, manifest: Manifest | None, *, versions: Mapping[str, str]) -> dict[str, str]:
    """The inputs of this start; `manifest` stands in for the checkpoint where it carries one and no folder is named."""
    made = neuron_plan(settings)
    flags = neuron_environment().get("NEURON_CC_FLAGS", "")
    revision = settings.neuron.model_revision or _revision(manifest)
    found = inputs.plan_inputs(made, versions=versions, flags=flags, revision=revision)
    if _named_folder(settings) is None and manifest is not None and manifest.model == settings.model.name:
        return found | {"model_config": manifest.inputs.get("model_config", "")}
    return found | inputs.model_input(_config(_checkpoint(settings, None)))


def _revision(manifest: Manifest | None) -> str:
    """Where a start names no revision, that of the artifacts is as good as another: no graph depends on weights."""
    return "" if manifest is None else manifest.inputs.get("model_revision", "")


def image_versions() -> dict[str, str]:
    """Versions in the image that the graphs are for: for a machine that asks without having the library."""
    content = json.loads((resources.files("serving.images") / "neuron-versions.json").read_text(encoding="utf-8"))
    return {name: str(content[name]) for name in ("transformers-neuronx", "neuronx-cc", "torch-neuronx")}


def versions_here(settings: Settings) -> dict[str, str]:
    """The library's where it is installed, else the image's."""
    try:
        return dict(library_of(settings.neuron).versions())
    except PlanError:
        return image_versions()


def plan(settings: Settings, *, artifacts: Path | None = None) -> Planned:
    """Check everything that can be checked without the library. Raises SetupError with what to change."""
    _check_environment(neuron_environment())
    folder = ModelFolder.open(_checkpoint(settings, artifacts))
    config = _config(folder.path)
    shape = ModelShape.from_config(config)
    planned = neuron_plan(settings)
    planned.check(shape, config)
    _check_sampling(folder, planned)
    memory = estimate(
        planned,
        shape,
        core_bytes=int(settings.neuron.core_memory_gib * GIB),
        reserve_bytes=int(settings.neuron.reserve_gib * GIB),
    )
    check_fits(planned, shape, memory)
    return Planned(folder, config, shape, planned, memory)


def _check_sampling(folder: ModelFolder, plan: NeuronPlan) -> None:
    """What the model recommends holds for every request that leaves it open, so it is refused once and not each time."""
    if plan.sampling is Sampling.DEVICE and folder.sampling.min_p > 0:
        raise PlanError(
            f"{folder.path / 'generation_config.json'} recommends min_p {folder.sampling.min_p:g}, which sampling on the device "
            "cannot do: set neuron.sampling to host, or take min_p out of the file."
        )


def neuron_plan(settings: Settings) -> NeuronPlan:
    """The plan that the settings ask for. Raises SetupError when they contradict each other."""
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


def library_of(settings: NeuronSettings) -> NeuronLibrary:
    """The module that `neuron.library` names."""
    try:
        return cast(NeuronLibrary, importlib.import_module(settings.library))
    except ImportError as error:
        raise SetupError(f"neuron.library {settings.library} cannot be imported: {error}") from error


def _manifest(store: Store) -> Manifest:
    manifest = store.manifest()
    if manifest is None:
        raise SetupError(f"{store.url} holds no compiled graphs: push them with `python -m serving artifacts push`.")
    return manifest


def _named_folder(settings: Settings) -> Path | None:
    path = Path(settings.model.name).expanduser()
    return path if path.is_dir() else None


def _checkpoint(settings: Settings, artifacts: Path | None) -> Path:
    """The folder that `model.name` names, else the one that came with the artifacts."""
    named = _named_folder(settings)
    if named is not None:
        return named
    if artifacts is not None and (artifacts / CHECKPOINT / settings.model.name).is_dir():
        return artifacts / CHECKPOINT / settings.model.name
    raise SetupError(
        f"The neuron runner serves a Mistral checkpoint folder, and model.name {settings.model.name!r} is none: "
        "name the folder of Mistral-7B-Instruct-v0.3 with its safetensors and tokenizer.json, or in neuron.artifacts the one that carries it."
    )


def _config(checkpoint: Path) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", json.loads((checkpoint / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise SetupError(f"{checkpoint / 'config.json'} cannot be read ({error}): fetch the model again.") from error


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
        raise SetupError(
            f"{', '.join(found)}: unset in the environment what is for multi-host runs, debugging or other graphs."
        )
    cache = environment.get("NEURON_COMPILE_CACHE_URL", "")
    if cache and "://" not in cache:
        _check_writable(Path(cache))


def _check_writable(cache: Path) -> None:
    """The vendor's compile cache does nothing on a read-only mount, without a word (P16)."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError as error:
        raise SetupError(
            f"NEURON_COMPILE_CACHE_URL {cache} cannot be written ({error.strerror}): the compiler keeps nothing there. Unset it, or name a "
            "folder that can; read-only graphs belong in neuron.artifacts."
        ) from error
