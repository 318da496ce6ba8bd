"""An engine whose generations say what a test tells them to, when it tells them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from serving.engine.request import Finished, FinishReason, GenerationRequest, Timings, Token, Update
from serving.engine.runner import RunnerSpec
from serving.errors import Refused

SPEC = RunnerSpec(
    model_id="scripted",
    fingerprint="scripted-1",
    slots=2,
    positions=100,
    longest_prompt=90,
    vocabulary=263,
    eos_token_ids=frozenset({261}),
    splits_prompts=True,
    samples_on_device=False,
    reproducible=True,
    weight_bits=32,
    kv_bits=32,
    kv_bytes=0,
)
ON_DEVICE = replace(SPEC, samples_on_device=True)
TIMINGS = Timings(queue_s=0.1, prefill_s=0.2, decode_s=0.3)


class ScriptedGeneration:
    """One generation; remembers whether and as what it was aborted."""

    def __init__(self, request: GenerationRequest) -> None:
        self.request = request
        self.aborted: FinishReason | None = None
        self._updates: asyncio.Queue[Update] = asyncio.Queue()
        self._over = False

    def say(self, *tokens: int | Token, finish: FinishReason | None = None, error: str | None = None) -> None:
        """Bring tokens, and the end where `finish` is given, in one update."""
        finished = None if finish is None else Finished(finish, TIMINGS, error)
        self._over = self._over or finished is not None
        self._updates.put_nowait(Update(tuple(t if isinstance(t, Token) else Token(t) for t in tokens), finished))

    def abort(self, reason: FinishReason = FinishReason.CANCELLED) -> None:
        if not self._over:
            self.aborted = reason
            self.say(finish=reason)

    async def __aiter__(self) -> AsyncIterator[Update]:
        while True:
            update = await self._updates.get()
            yield update
            if update.finished is not None:
                return


class ScriptedEngine:
    """Accepts everything unless told to refuse; `generations` are those of the last request."""

    def __init__(self, spec: RunnerSpec = SPEC) -> None:
        self.spec = spec
        self.refusal: Refused | None = None
        self.accepted = asyncio.Event()
        self.generations: list[ScriptedGeneration] = []

    def submit(self, requests: Sequence[GenerationRequest]) -> list[ScriptedGeneration]:
        if self.refusal is not None:
            raise self.refusal
        self.generations = [ScriptedGeneration(request) for request in requests]
        self.accepted.set()
        return self.generations

    async def next_generations(self) -> list[ScriptedGeneration]:
        """Those of the request that is about to come."""
        await self.accepted.wait()
        self.accepted.clear()
        return self.generations
