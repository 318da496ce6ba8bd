"""The CPU runner: OpenVINO's paged-attention graph under our own slots.

Slot s owns a fixed run of cache blocks for good, so there is no allocator and nothing to clear when a slot changes
hands. Precision is a promise: `batch_invariant` computes a token to the last bit the same whatever else is in the step;
`fast` computes as OpenVINO thinks best on this machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

# A private name of OpenVINO, which is why its version is pinned exactly; the tests of this file notice a change.
from openvino._offline_transformations import paged_attention_transformation

from serving.engine.request import SamplingParams
from serving.engine.runner import Decode, PromptChunk, RunnerError, RunnerSpec, StepOutput
from serving.engine.runners.openvino_passes import BLOCK_TOKENS, Limits, Pass, Span, inputs, split
from serving.errors import SetupError
from serving.model.folder import ModelFolder

_VERSION = ov.__version__.split("-")[0]
Precision = Literal["batch_invariant", "fast"]

_OPTIONS: Mapping[Precision, Mapping[str, str]] = {
    "batch_invariant": {
        "INFERENCE_PRECISION_HINT": "f32",
        "KV_CACHE_PRECISION": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    },
    "fast": {},
}
# docs/decisions/cpu-precision.md: one row takes a matrix-vector kernel, more than 80 another blocking, and a prompt's
# lone token the attention kernel of decodes; between them every row is computed alike.
_LIMITS: Mapping[Precision, Limits] = {
    "batch_invariant": Limits(fewest_rows=2, most_rows=64, shortest_piece=2),
    "fast": Limits(),
}


class OpenVinoRunner:
    """`serving.engine.runner.Runner` on the CPU."""

    def __init__(
        self, model: ModelFolder, *, slots: int, positions: int, precision: Precision, threads: int = 0
    ) -> None:
        """Compile the graph and reserve the cache; `threads` 0 takes every core that this process may use.

        Raises SetupError when the folder holds no graph, the graph does not compile, or `positions` exceeds the model's.
        """
        if model.ir_xml is None:
            raise SetupError(f"{model.path} holds no OpenVINO graph: run `python -m serving model prepare`.")
        if positions > model.longest_context:
            raise SetupError(
                f"runner.positions is {positions}, but {model.model_id} was made for at most {model.longest_context}."
            )
        self._limits = _LIMITS[precision]
        self._positions, self._scratch_slot = positions, slots
        self._blocks_per_slot = -(-positions // BLOCK_TOKENS)
        self._threads = threads or len(os.sched_getaffinity(0))
        self._precision = precision
        try:
            self._compiled = _compile(model, {**_OPTIONS[precision], **_thread_options(self._threads)})
            self._cache = self._reserve()
            self._request = self._bind()
            reproducible = precision == "batch_invariant" and self._is_batch_invariant()
        except (RuntimeError, MemoryError, RunnerError) as error:
            raise SetupError(
                f"OpenVINO cannot run {model.ir_xml} with {slots} slots of {positions}: {error}"
            ) from error
        self._spec = self._describe_itself(model, slots, reproducible=reproducible)

    @property
    def spec(self) -> RunnerSpec:
        """Fixed for the runner's life."""
        return self._spec

    def describe(self) -> str:
        """One line for the log: what it computes in, and what the cache costs."""
        spec = self._spec
        per_position = sum(tensor.byte_size // tensor.shape[0] for tensor in self._cache.values()) // BLOCK_TOKENS
        return (
            f"{spec.model_id} on OpenVINO {_VERSION}, {self._precision}: {spec.weight_bits}-bit weights, "
            f"{spec.kv_bits}-bit KV cache of {spec.slots} slots × {spec.positions} positions × {per_position} bytes "
            f"= {spec.kv_bytes / 1e6:.0f} MB, {self._threads} threads, a seed is "
            f"{'reproducible' if spec.reproducible else 'best effort'}"
        )

    def run(self, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> StepOutput:
        """Compute one step: one `infer` in `fast`, as many as `batch_invariant` needs.

        Raises RunnerError when OpenVINO fails, ValueError for tokens beyond a slot's positions.
        """
        self._check(decodes, prompts)
        *earlier, last = split(decodes, prompts, self._limits)
        kept = [self._infer(step).copy() for step in earlier]  # the next pass writes where this one wrote
        logits = self._infer(last)
        return StepOutput(logits=np.concatenate([*kept, logits]) if kept else logits)

    def set_sampling(self, slot: int, params: SamplingParams) -> None:
        """Nothing to do: the host samples."""

    def reset(self) -> None:
        """A new request over the same cache; whatever a slot held is overwritten from position 0."""
        try:
            self._request = self._bind()
        except RuntimeError as error:
            raise RunnerError(f"OpenVINO could not make a new request: {error}") from error

    def close(self) -> None:
        """Give graph and cache back."""
        del self._request, self._cache, self._compiled

    def _infer(self, step: Pass, limits: Limits | None = None) -> NDArray[np.float32]:
        """Logits [wanted rows, vocabulary]; a view that the next pass overwrites."""
        arrays = inputs(
            step,
            blocks_per_slot=self._blocks_per_slot,
            scratch_slot=self._scratch_slot,
            limits=limits or self._limits,
        )
        try:
            for name, value in arrays.items():
                self._request.set_tensor(name, ov.Tensor(value))
            self._request.start_async()
            self._request.wait()  # without the GIL
            logits: NDArray[np.float32] = self._request.get_output_tensor(0).data[:, 0]
        except RuntimeError as error:
            raise RunnerError(f"OpenVINO failed: {error}") from error
        return logits[: step.wanted]

    def _is_batch_invariant(self) -> bool:
        """Ask this machine's kernels: smallest against largest pass, and a prompt whole against in pieces."""
        crowd = replace(self._limits, fewest_rows=self._limits.most_rows)
        prompt, decode = Span(0, 0, (1, 2, 3, 4), 3), Span(0, 4, (5,), 0)
        alone = [self._infer(Pass.of(span)).copy() for span in (prompt, decode)]
        crowded = [self._infer(Pass.of(span), crowd).copy() for span in (prompt, decode)]
        pieces = [self._infer(Pass.of(Span(0, start, (start + 1, start + 2), 1))).copy() for start in (0, 2)]
        return all(np.array_equal(a, b) for a, b in zip([*alone, alone[0]], [*crowded, pieces[1]], strict=True))

    def _check(self, decodes: Sequence[Decode], prompts: Sequence[PromptChunk]) -> None:
        """A token beyond its slot would land in the neighbour's cache."""
        ends = [d.position + 1 for d in decodes] + [p.start + len(p.token_ids) for p in prompts]
        if not ends or min(len(p.token_ids) for p in prompts or [PromptChunk(0, 0, (0,), last=False)]) == 0:
            raise ValueError("an empty step or an empty prompt chunk")
        if max(ends) > self._positions:
            raise ValueError(f"a slot holds {self._positions} tokens, this step needs {max(ends)}")

    def _reserve(self) -> dict[str, Any]:
        """Tensors of every layer's cache: the slots' blocks and one more block for fillers."""
        blocks = self._scratch_slot * self._blocks_per_slot + 1
        cache = {}
        for port in self._compiled.inputs:  # the compiled graph says the layout, which depends on the precision
            if "_cache." in port.any_name:
                _, *rest = port.partial_shape
                cache[port.any_name] = ov.Tensor(port.element_type, [blocks, *(d.get_length() for d in rest)])
        return cache

    def _bind(self) -> Any:
        request = self._compiled.create_infer_request()
        for name, tensor in self._cache.items():
            request.set_tensor(name, tensor)
        return request

    def _describe_itself(self, model: ModelFolder, slots: int, *, reproducible: bool) -> RunnerSpec:
        kv_type = next(iter(self._cache.values())).element_type
        return RunnerSpec(
            model_id=model.model_id,
            fingerprint=f"openvino-{_VERSION}-{self._precision}",
            slots=slots,
            positions=self._positions,
            longest_prompt=self._positions - 1,
            vocabulary=model.vocabulary,
            eos_token_ids=model.eos_token_ids,
            splits_prompts=True,
            samples_on_device=False,
            reproducible=reproducible,
            weight_bits=model.weight_bits,
            kv_bits=kv_type.bitwidth,
            kv_bytes=sum(tensor.byte_size for tensor in self._cache.values()),
        )


def _thread_options(threads: int) -> dict[str, str]:
    # Pinned, every process takes the first cores, and two replicas of one thread would share core 0.
    return {"INFERENCE_NUM_THREADS": str(threads), "ENABLE_CPU_PINNING": "NO"}


def _compile(model: ModelFolder, options: Mapping[str, str]) -> Any:
    core = ov.Core()
    return core.compile_model(_paged(core.read_model(model.ir_xml)), "CPU", dict(options))


def _paged(graph: Any) -> Any:
    """A stateful decoder in its paged form, with logits only for the rows that `logits_rows` names."""
    paged_attention_transformation(graph)
    head = graph.get_results()[0].input_value(0).get_node()
    while head.get_type_name() != "MatMul":
        head = head.input_value(0).get_node()
    wanted = ops.parameter([-1], np.int32)
    wanted.output(0).set_names({"logits_rows"})
    head.input(0).replace_source_output(ops.gather(head.input_value(0), wanted, np.int64(0)).output(0))
    graph.add_parameters([wanted])
    graph.validate_nodes_and_infer_types()
    return graph
