"""Every setting, grouped, with its unit in its name; the only reader of the environment in this package.

Precedence: explicit arguments (the Serve config's `args`, or a command's flags), then `CHATBOT_<GROUP>__<NAME>` in the
environment, then the default. Read once, at a composition root (`serving.app`, `serving.__main__`), and handed down.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving.errors import SetupError


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSettings(_Group):
    """Which model, and where its files are."""

    name: str = Field(
        "smollm2-135m-instruct",
        description="A name of `python -m serving model list`, or a folder: a Hugging Face checkpoint or OpenVINO IR.",
    )
    cache_dir: Path | None = Field(
        None, description="Where prepared models live; by default our folder under $XDG_CACHE_HOME."
    )


class RunnerSettings(_Group):
    """What computes the tokens."""

    kind: Literal["openvino", "simulated", "neuron"] = Field("openvino", description="The backend.")
    slots: int = Field(8, ge=1, le=256, description="Sequences computed at once.")
    positions: int = Field(2048, ge=32, description="Tokens that one slot holds, prompt and answer together.")
    precision: Literal["batch_invariant", "fast"] = Field(
        "batch_invariant",
        description="openvino: `batch_invariant` makes a seed reproduce whatever else runs; `fast` takes the machine's "
        "reduced precision, an 8-bit KV cache first of all. docs/decisions/cpu-precision.md has the figures.",
    )
    threads: int = Field(
        0,
        ge=0,
        description="openvino: CPU threads; 0 takes the replica's num_cpus under Ray, else all cores.",
    )
    profile: str = Field(
        "trn1.2xlarge-mistral-7b",
        description="simulated: the cost model, a name shipped with the runner or a file.",
    )
    start_up_s: float | None = Field(
        None, ge=0, description="simulated: how long a start takes in all; by default as long as the cost model says."
    )


def _split(value: object) -> object:
    """`512,1024` as a command line's flag or an environment variable writes it."""
    return value.strip("[] ").split(",") if isinstance(value, str) else value


Buckets = Annotated[tuple[int, ...], BeforeValidator(_split)]


class NeuronSettings(_Group):
    """runner.kind `neuron` only: what is compiled for the chip. Every field down to model_revision is part of the artifacts' key."""

    decode_buckets: Buckets = Field(
        (512, 1024, 2048),
        description="Positions, ascending; the last is runner.positions. A step costs the bucket of its longest sequence.",
    )
    prefill_buckets: Buckets = Field(
        (128, 512, 1024, 2048),
        description="Prompt tokens, ascending; a prompt costs its bucket, the last is the limit.",
    )
    sampling: Literal["device", "host"] = Field(
        "device",
        description="`device` refuses seed, logprobs, penalties and logit_bias by name; `host` brings logits back for them.",
    )
    global_top_k: int = Field(64, ge=1, description="Candidates that sampling on the device looks at.")
    tp_degree: int = Field(2, ge=1, description="NeuronCores that share the weights.")
    amp: Literal["bf16", "f16", "f32"] = Field("bf16", description="Element type of weights and cache.")
    attention_layout: Literal["BSH", "HSB"] = Field("BSH", description="Order of batch, sequence and hidden axes.")
    fuse_qkv: bool = Field(True, description="One product for queries, keys and values.")
    model_revision: str = Field(
        "",
        description="Commit of the checkpoint in its repository; noted with the compiled graphs, compared where it is set.",
    )
    artifacts: str | None = Field(
        None,
        description="Compiled graphs: a folder or `s3://bucket/prefix`; without it a start compiles, minutes to an hour.",
    )
    transfers: int = Field(8, ge=1, description="Files of the artifacts that are checked or fetched at once.")
    compile_workers: int = Field(
        1, ge=1, description="Compiler processes at once; each holds a whole graph in host memory."
    )
    core_memory_gib: float = Field(16.0, gt=0, description="Memory of one NeuronCore, in GiB.")
    reserve_gib: float = Field(
        3.0, ge=0, description="Of it kept for code, scratchpad and rings, in GiB: unknown until measured on a chip."
    )
    library: str = Field(
        "serving.engine.runners.neuron.library",
        description="The module that loads and compiles models. Another one stands for the vendor's library in tests; "
        "it names itself in the log and in every answer's system_fingerprint.",
    )


class EngineSettings(_Group):
    """Admission, fairness and limits."""

    queue_length: int = Field(
        16,
        ge=0,
        description="Accepted requests that may wait for a slot: the one bounded queue of the product.",
    )
    longest_answer_s: float = Field(
        300.0,
        gt=0,
        description="From acceptance, waiting included, to the last token; drain and every grace period derive from it.",
    )
    longest_wait_s: float = Field(
        9.0,
        gt=0,
        description="In the queue; past it a request is refused with 503. Below api.first_byte_wait_s, so that it is a status line.",
    )
    prefill_budget_tokens: int = Field(
        128, ge=1, description="Prompt tokens computed between two decodes, so that no stream stalls."
    )
    longest_step_s: float = Field(
        60.0,
        gt=0,
        description="Of the runner; past it the replica counts as hung and Serve replaces it. Above the longest prefill.",
    )

    @model_validator(mode="after")
    def _leaves_time_to_answer(self) -> EngineSettings:
        if self.longest_wait_s >= self.longest_answer_s:
            raise ValueError("longest_wait_s must be less than longest_answer_s, which the waiting counts towards")
        return self


class ApiSettings(_Group):
    """The HTTP face."""

    first_byte_wait_s: float = Field(
        10.0, gt=0, description="How long an admitted request waits for its first token before 200 goes out."
    )
    heartbeat_s: float = Field(5.0, gt=0, description="Comment lines on a stream that has nothing to say.")
    longest_body_bytes: int = Field(1_048_576, ge=1024, description="Larger request bodies are refused with 413.")
    api_keys_file: Path | None = Field(
        None,
        description="One `name:sha256-hex` a line; reloaded when it changes. Without it nothing starts off loopback, but for trusted_network.",
    )
    trusted_network: bool = Field(
        False,
        description="Needs no keys off loopback: the network itself lets in only those who may ask. Keys that are set up are asked for all the same.",
    )
    page: bool = Field(True, description="Serve the chat page at /ui.")


class StartupSettings(_Group):
    """From process start to the first caller."""

    budget_s: float = Field(
        1800.0,
        gt=0,
        description="Past it the log and a metric name the stage that runs; a pod's startup probe has to allow more.",
    )


class ListenSettings(_Group):
    """`python -m serving run` only: under Ray Serve the http_options of the Serve config say this."""

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on; anything but loopback requires api.api_keys_file or api.trusted_network.",
    )
    port: int = Field(8000, ge=0, le=65535, description="TCP port.")


class Settings(BaseSettings):
    """All groups."""

    model_config = SettingsConfigDict(env_prefix="CHATBOT_", env_nested_delimiter="__", frozen=True, extra="forbid")

    model: ModelSettings = ModelSettings()
    runner: RunnerSettings = RunnerSettings()
    neuron: NeuronSettings = NeuronSettings()
    engine: EngineSettings = EngineSettings()
    api: ApiSettings = ApiSettings()
    startup: StartupSettings = StartupSettings()
    listen: ListenSettings = ListenSettings()

    @model_validator(mode="after")
    def _refuses_by_a_status_line(self) -> Settings:
        wait_s, first_byte_s = self.engine.longest_wait_s, self.api.first_byte_wait_s
        if wait_s >= first_byte_s:
            raise ValueError(
                f"engine.longest_wait_s ({wait_s:g}) must be less than api.first_byte_wait_s ({first_byte_s:g}), or who "
                "waits in vain gets a 200 that breaks off and no 503: lower the one or raise the other"
            )
        return self

    @property
    def capacity(self) -> int:
        """Requests that one replica holds: in slots and in the queue."""
        return self.runner.slots + self.engine.queue_length


def load(args: Mapping[str, Any] | None = None) -> Settings:
    """Settings from `args` (nested mappings, as in the Serve config) over the environment over defaults.

    Raises SetupError with one line per wrong field.
    """
    try:
        return Settings(**dict(args or {}))
    except ValidationError as error:
        raise SetupError("Wrong settings: " + "; ".join(map(_line, error.errors()))) from error


def _line(problem: Mapping[str, Any]) -> str:
    """A problem of one field begins with its name; one between groups names them itself."""
    return ": ".join(filter(None, [".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")]))


def cache_folder(settings: ModelSettings) -> Path:
    """Our folder under the user's cache, where models and everything else that can be made again live."""
    if settings.cache_dir is not None:
        return settings.cache_dir
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "trainium-chatbot"


def neuron_environment() -> dict[str, str]:
    """The vendor's own variables (NEURON_*, and the two of other names), which its library reads by itself."""
    others = ("CPU_COMM_ID", "HLO_SNAPSHOT_PATH")
    return {name: value for name, value in os.environ.items() if name.startswith("NEURON") or name in others}
