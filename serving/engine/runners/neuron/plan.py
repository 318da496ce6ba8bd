"""What is compiled for the chip: every number that goes into a graph's shape, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from serving.errors import SetupError

MISTRAL = "MistralForCausalLM"
BITS = {"bf16": 16, "f16": 16, "f32": 32}  # of an element, by `amp`
ROPE_THETA_IF_ABSENT = 10_000.0  # the library's silent fallback (P9)


class PlanError(SetupError):
    """The plan and the model, or the plan and the chip, do not go together; the message says what to change."""


class Sampling(str, Enum):
    """Where a token is picked."""

    DEVICE = "device"  # top_k, top_p, temperature by slot; ids come back
    HOST = "host"  # logits come back: seed, log-probabilities, penalties and logit_bias work


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a Mistral checkpoint; the names are Hugging Face's, shortened."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    vocabulary: int
    rope_theta: float

    @property
    def head_dim(self) -> int:
        """Width of one head: the library knows only `hidden // heads` (P23)."""
        return self.hidden // self.heads

    @property
    def linear_parameters(self) -> int:
        """Weights of all layers' projections, without norms, head and embedding."""
        attention = 2 * self.hidden * self.hidden + 2 * self.hidden * self.kv_heads * self.head_dim
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def head_parameters(self) -> int:
        """Weights of the output head; the embedding has as many."""
        return self.hidden * self.vocabulary

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ModelShape:
        """Read Hugging Face's config.json. Raises PlanError for what the library would get wrong, with the cure."""
        architecture = next(iter(config.get("architectures") or ()), None)
        if architecture != MISTRAL:
            raise PlanError(
                f"this runner serves {MISTRAL}, the checkpoint is a {architecture}: choose Mistral-7B-Instruct-v0.3"
            )
        rope_theta = config.get("rope_theta") or (config.get("rope_parameters") or {}).get("rope_theta")
        if rope_theta is None:
            raise PlanError(
                f"config.json names no rope_theta, and the library would take {ROPE_THETA_IF_ABSENT:g}: add it"
            )
        shape = cls(
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            intermediate=int(config["intermediate_size"]),
            heads=int(config["num_attention_heads"]),
            kv_heads=int(config["num_key_value_heads"]),
            vocabulary=int(config["vocab_size"]),
            rope_theta=float(rope_theta),
        )
        if config.get("head_dim") not in (None, shape.head_dim):
            raise PlanError(
                f"head_dim {config['head_dim']} is not hidden_size / heads = {shape.head_dim}, which the library assumes"
            )
        return shape


@dataclass(frozen=True, slots=True)
class NeuronPlan:
    """One compilation: `len(decode_buckets) + len(prefill_buckets)` graphs over one cache of `slots × positions`."""

    slots: int
    decode_buckets: tuple[int, ...]  # positions; a step costs the bucket of its longest sequence
    prefill_buckets: tuple[int, ...]  # prompt tokens; a prompt costs its bucket
    sampling: Sampling
    global_top_k: int = 64  # device sampling looks at so many candidates
    tp_degree: int = 2  # NeuronCores that share the weights
    amp: str = "bf16"
    attention_layout: str = "BSH"
    fuse_qkv: bool = True
    compile_workers: int = 1  # each is one compiler process with its own copy of the graph in host memory (P14)

    @property
    def positions(self) -> int:
        """Tokens that one slot holds."""
        return self.decode_buckets[-1]

    @property
    def longest_prompt(self) -> int:
        """Tokens of the longest prompt (P3)."""
        return self.prefill_buckets[-1]

    def check(self, shape: ModelShape, config: Mapping[str, Any]) -> None:
        """Raises PlanError for the first thing that does not go together."""
        _check_ascending("decode_buckets", self.decode_buckets)
        _check_ascending("prefill_buckets", self.prefill_buckets)
        if self.longest_prompt > self.positions:
            raise PlanError(
                f"the largest prefill bucket {self.longest_prompt} exceeds the largest decode bucket {self.positions}"
            )
        _check_no_window(config)
        if self.sampling is Sampling.DEVICE and not 1 <= self.global_top_k <= shape.vocabulary // self.tp_degree:
            raise PlanError(
                f"global_top_k {self.global_top_k} must lie in 1 to vocabulary / tp_degree = {shape.vocabulary // self.tp_degree}"
            )
        for name, count in (("heads", shape.heads), ("key-value heads", shape.kv_heads)):
            if count % self.tp_degree:
                raise PlanError(f"tp_degree {self.tp_degree} does not divide the model's {count} {name}")


def _check_no_window(config: Mapping[str, Any]) -> None:
    """Only full attention: beyond the window the library builds no graph (P7), within it one n×n mask a layer (P8)."""
    if "sliding_window" not in config:
        raise PlanError(
            'config.json does not mention sliding_window, which Hugging Face\'s class takes for 4096: add "sliding_window": null if the '
            "model has none (P8)"
        )
    window = config["sliding_window"]
    if window is not None:
        raise PlanError(
            f"the checkpoint attends within a sliding window of {window} tokens, as Mistral v0.1 does, and past it the library builds no "
            f"graph (P7): take Mistral-7B-Instruct-v0.3, which has none. Up to {window} positions the maths is the same without: "
            'there "sliding_window": null in config.json serves, too (P8)'
        )


def _check_ascending(name: str, buckets: Sequence[int]) -> None:
    if not buckets or list(buckets) != sorted(set(buckets)) or buckets[0] < 1:
        raise PlanError(f"{name} must be ascending positive numbers, not {list(buckets)}")
