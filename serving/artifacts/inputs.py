"""Everything that a compiled graph depends on, each with a name, so that a difference can be named.

The vendor's own cache keys by compiler version, graph and flags; its `load(folder)` by the graph alone, so it takes what
another compiler made without a word (P15). These inputs are what both are functions of, and can be told beforehand.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.engine.runners.neuron.plan import NeuronPlan

# In config.json, but no part of the graph: who saved it, and how its tokens are spelled.
_NOT_IN_THE_GRAPH = {
    "_name_or_path",
    "transformers_version",
    "torch_dtype",
    "use_cache",
    "bos_token_id",
    "eos_token_id",
}
# In NEURON_CC_FLAGS, but about the cache only.
_CACHE_FLAGS = re.compile(r"--(?:cache_dir(?:=|\s+)\S+|no_cache|retry_failed_compilation)")


@dataclass(frozen=True, slots=True)
class Change:
    """One input that is not what the artifacts were made with."""

    name: str
    made_with: str | None  # None: the artifacts do not know it
    wanted: str | None  # None: this start does not have it

    def __str__(self) -> str:
        return f"{self.name}: made with {self.made_with or 'nothing'}, this start has {self.wanted or 'nothing'}"


def plan_inputs(plan: NeuronPlan, *, versions: Mapping[str, str], flags: str, revision: str) -> dict[str, str]:
    """What settings and the image say."""
    return {
        **versions,
        "compiler_flags": " ".join(_CACHE_FLAGS.sub("", flags).split()),
        "slots": str(plan.slots),
        "decode_buckets": _listed(plan.decode_buckets),
        "prefill_buckets": _listed(plan.prefill_buckets),
        "sampling": plan.sampling.value,
        "global_top_k": str(plan.global_top_k) if plan.sampling.value == "device" else "none",
        "tp_degree": str(plan.tp_degree),
        "amp": plan.amp,
        "attention_layout": plan.attention_layout,
        "fuse_qkv": str(plan.fuse_qkv).lower(),
        "model_revision": revision,
    }


def model_input(config: Mapping[str, Any]) -> dict[str, str]:
    """What the checkpoint says: a checksum over config.json, without what no graph depends on."""
    kept = {key: value for key, value in config.items() if key not in _NOT_IN_THE_GRAPH}
    return {"model_config": hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:16]}


def changes(made_with: Mapping[str, str], wanted: Mapping[str, str]) -> list[Change]:
    """The inputs that differ, in the order of `wanted`, then those that only the artifacts know."""
    names = [*wanted, *(name for name in made_with if name not in wanted)]
    compared = (Change(name, made_with.get(name), wanted.get(name)) for name in names)
    return [change for change in compared if change.made_with != change.wanted]


def key(inputs: Mapping[str, str]) -> str:
    """A short name of these inputs."""
    return hashlib.sha256(json.dumps(dict(inputs), sort_keys=True).encode()).hexdigest()[:16]


def _listed(numbers: tuple[int, ...]) -> str:
    return ",".join(map(str, numbers))
