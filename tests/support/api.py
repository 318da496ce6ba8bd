"""An API around a scripted engine, with everything that a test may want to look at afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import openai
from tokenizers import Tokenizer

from serving.api.app import build_api
from serving.api.frontend import Frontend
from serving.chat.prompt import PromptEncoder
from serving.chat.template import ChatTemplate
from serving.chat.vocabulary import read_vocabulary
from serving.engine.clock import Clock, VirtualClock
from serving.engine.request import SamplingParams
from serving.telemetry.metrics import Metric
from serving.telemetry.request_log import RequestRecord
from tests.support import asgi, tokenizers
from tests.support.scripted_engine import ScriptedEngine


@dataclass
class CountingSink:
    """Remembers what was counted."""

    counted: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)
    gauges: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)
    observed: dict[str, list[float]] = field(default_factory=dict)

    def add(self, metric: Metric, amount: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        key = metric.name, tuple((labels or {}).items())
        self.counted[key] = self.counted.get(key, 0) + amount

    def set(self, metric: Metric, value: float, labels: Mapping[str, str] | None = None) -> None:
        self.gauges[metric.name, tuple((labels or {}).items())] = value

    def observe(self, metric: Metric, value: float) -> None:
        self.observed.setdefault(metric.name, []).append(value)


def _forget(record: RequestRecord) -> None:
    """For tests that do not look at records."""


def frontend(
    engine: ScriptedEngine | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    first_byte_wait_s: float = 60.0,
    heartbeat_s: float = 60.0,
    capacity: int = 8,
    clock: Clock | None = None,
    on_finished: Callable[[RequestRecord], None] = _forget,
) -> Frontend:
    """A frontend on a scripted engine and a small tokenizer."""
    engine, tokenizer = engine or ScriptedEngine(), tokenizer or tokenizers.byte_level()
    template = ChatTemplate(tokenizers.TEMPLATE, bos_token="<|im_start|>", eos_token="<|im_end|>")
    return Frontend(
        engine,
        PromptEncoder(tokenizer, template, bos_token="<|im_start|>"),
        vocabulary=read_vocabulary(tokenizer, rows=engine.spec.vocabulary),
        capacity=capacity,
        first_byte_wait_s=first_byte_wait_s,
        heartbeat_s=heartbeat_s,
        clock=clock or VirtualClock(),
        on_finished=on_finished,
        defaults=SamplingParams(),
        wall_clock=lambda: 1_700_000_000.0,
    )


class ScriptedApi:
    """The whole API, from the middleware down to an engine that a test speaks for."""

    def __init__(
        self,
        engine: ScriptedEngine | None = None,
        *,
        first_byte_wait_s: float = 60.0,
        heartbeat_s: float = 60.0,
        capacity: int = 8,
        longest_body_bytes: int = 10_000,
        api_keys_file: Path | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self.engine = engine or ScriptedEngine()
        self.tokenizer = tokenizer or tokenizers.byte_level()
        self.records: list[RequestRecord] = []
        self.sink = CountingSink()
        self.clock = VirtualClock()
        self.app = build_api(
            frontend(
                self.engine,
                tokenizer=self.tokenizer,
                first_byte_wait_s=first_byte_wait_s,
                heartbeat_s=heartbeat_s,
                capacity=capacity,
                clock=self.clock,
                on_finished=self.records.append,
            ),
            replica_id="replica-1",
            sink=self.sink,
            check_ready=lambda: None,
            longest_body_bytes=longest_body_bytes,
            api_keys_file=api_keys_file,
        )
        self.http = asgi.http_client(self.app)

    def openai(self, *, api_key: str = "unused") -> openai.AsyncOpenAI:
        """OpenAI's client of this API."""
        return asgi.openai_client(self.app, api_key=api_key)

    def ids(self, text: str) -> list[int]:
        """Tokens that write `text`."""
        return list(self.tokenizer.encode(text).ids)
