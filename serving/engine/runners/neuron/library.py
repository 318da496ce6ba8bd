"""The only file that imports transformers-neuronx: from a checkpoint folder and a plan to a model that computes.

Needs transformers-neuronx 0.13 (the vendor's own index has it, the public one an empty placeholder of that name, P18), or
its public source on PYTHONPATH over tests/neuron_emulation. `runner.NeuronLibrary` says what a module in its place offers.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.engine.runners.neuron.plan import ModelShape, NeuronPlan, PlanError, Sampling
from serving.engine.runners.neuron.runner import GREEDY, Ids, SamplingRow, Stage

DISTRIBUTIONS = ("transformers-neuronx", "neuronx-cc", "torch-neuronx")
# The methods of the library's model that `to_neuron` calls, and what they are as stages of a start.
_STAGES = {"load_weights": "weights", "compile": "compile", "setup": "graphs"}


class LibraryModel:
    """`MistralForSampling` behind `runner.NeuronModel`: arrays in, arrays out."""

    def __init__(self, model: Any, plan: NeuronPlan) -> None:  # Any: the library carries no types
        self._torch = importlib.import_module("torch")
        self._config = importlib.import_module("transformers_neuronx.config")
        self._model = model
        self._plan = plan

    def forward(self, input_ids: Ids, cache_ids: Ids, start_ids: Ids) -> NDArray[np.generic]:
        """See `runner.NeuronModel`; blocks until the result is on the host, with the GIL free meanwhile."""
        torch = self._torch
        with torch.inference_mode():
            output = self._model(
                torch.from_numpy(input_ids),
                cache_ids=torch.from_numpy(cache_ids),
                start_ids=torch.from_numpy(start_ids),
            )
        array: NDArray[np.generic] = output.float().numpy() if output.is_floating_point() else output.numpy()
        return array

    def set_sampling_rows(self, rows: Sequence[SamplingRow]) -> None:
        """Four device writes, a full list each; a fresh config, because the library keeps and changes what it gets."""
        self._model.update_generation_config(generation_config(self._config, self._plan, rows))


def versions() -> dict[str, str]:
    """Versions of what a compiled graph depends on, by distribution. Raises PlanError where the library is absent."""
    import_library()
    return {name: _version(name) for name in DISTRIBUTIONS}


def load_model(
    checkpoint: Path, plan: NeuronPlan, shape: ModelShape, *, graphs: Path | None, stage: Stage
) -> LibraryModel:
    """Onto the device: from the compiled graphs in `graphs`, or by compiling (minutes to an hour) when it is None."""
    model = _open(checkpoint, plan, shape)
    _time_parts(model, stage)
    if graphs is not None:
        model.load(str(graphs))
    model.to_neuron()
    return LibraryModel(model, plan)


def compile_graphs(checkpoint: Path, plan: NeuronPlan, shape: ModelShape, *, into: Path, stage: Stage) -> None:
    """Compile on this machine, with or without a chip, and write one file for each graph.

    The graphs are the same either way. Compiling needs the weights, because the library takes shapes from them.
    """
    model = _open(checkpoint, plan, shape)
    _time_parts(model, stage)
    model.cpu_compile()
    model.save(str(into))


def generation_config(config: Any, plan: NeuronPlan, rows: Sequence[SamplingRow]) -> Any:
    """The library's GenerationConfig: sampling on the device, each slot with its own parameters.

    `per_batch_line` builds with `dynamic` only (P13).
    """
    return config.GenerationConfig(
        do_sample=True,
        dynamic=True,
        per_batch_line=True,
        global_top_k=plan.global_top_k,
        top_k=[row.top_k for row in rows],
        top_p=[row.top_p for row in rows],
        temperature=[row.temperature for row in rows],
    )


def neuron_config(config: Any, plan: NeuronPlan) -> Any:
    """The library's NeuronConfig. A new one for each model: the library changes it, its default is shared (P19).

    Always continuous batching, since padded static batches may give NaN (P22); never `weight_tiling`, which needs
    NumPy 1 (P24), nor `cache_layout`, `kv_cache_quant` or whatever else the contract's table calls broken.
    """
    on_device = plan.sampling is Sampling.DEVICE
    return config.NeuronConfig(
        continuous_batching=config.ContinuousBatchingConfig(max_num_seqs=plan.slots),
        attention_layout=plan.attention_layout,
        collectives_layout=plan.attention_layout,
        fuse_qkv=plan.fuse_qkv,
        on_device_generation=generation_config(config, plan, [GREEDY] * plan.slots) if on_device else None,
        compilation_worker_count=plan.compile_workers,  # unset, it is one process for each graph, all at once (P14)
    )


def import_library() -> Any:
    """The package. Raises PlanError with the way to get it where it is absent or the public index's placeholder."""
    try:
        library = importlib.import_module("transformers_neuronx")
    except ImportError as error:
        raise PlanError(
            f"transformers-neuronx cannot be imported ({error}): this runner needs the Neuron image, see docs/neuron.md"
        ) from error
    if not hasattr(library, "MistralForSampling"):
        raise PlanError(
            "the installed transformers-neuronx is the public index's empty placeholder: install the wheel of requirements/neuron.txt "
            "from the vendor's index"
        )
    return library


def _open(checkpoint: Path, plan: NeuronPlan, shape: ModelShape) -> Any:
    """The library's model object: weights are read, nothing is compiled or on the device yet."""
    library = import_library()
    config = importlib.import_module("transformers_neuronx.config")
    model = library.MistralForSampling.from_pretrained(
        str(checkpoint),
        n_positions=list(plan.decode_buckets),
        context_length_estimate=list(plan.prefill_buckets),
        batch_size=plan.slots,  # an int equal to max_num_seqs, or an assertion fails
        amp=plan.amp,
        tp_degree=plan.tp_degree,
        neuron_config=neuron_config(config, plan),
    )
    read = float(getattr(model.config, "rope_theta", 0.0))
    if read != shape.rope_theta:
        raise PlanError(
            f"the library reads rope_theta {read:g}, the checkpoint says {shape.rope_theta:g}: transformers 5 hides it, use 4.48 (P9)"
        )
    return model


def _time_parts(model: Any, stage: Stage) -> None:
    """Make each part of `to_neuron` a stage of the start."""

    def timed(run: Callable[..., Any], name: str) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with stage(name):
                return run(*args, **kwargs)

        return wrapped

    for method, name in _STAGES.items():
        setattr(model, method, timed(getattr(model, method), name))


def _version(distribution: str) -> str:
    """Its version without the build's suffix and without zeros at its end; a source tree on PYTHONPATH has none."""
    try:
        return re.sub(r"(\.0)*(\+.*)?$", "", importlib.metadata.version(distribution))
    except importlib.metadata.PackageNotFoundError:
        return "source"
