"""What is asked: chat requests from a seed, byte for byte the same for the same seed and number. Pure.

Prompts are plain sentences of common words. Their length is in words; how many tokens that is, the server's `usage` says.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from loadtest import seeds
from loadtest.spec import Distribution, Fixed, Profile, Uniform

Message = tuple[str, str]  # role, content

_OPENINGS = (
    "Explain why", "Give me a short summary of how", "Compare the ways in which", "Write a friendly note that says",
    "List three reasons why", "What would change if", "Help me understand how", "Describe the moment when",
)  # fmt: skip
_WORDS = tuple(
    """the a of and to in that with for from about under over after before because while river mountain city garden kitchen
    library station harbour engine letter window market teacher doctor farmer sailor student writer child neighbour winter
    summer morning evening music bread water light paper stone metal glass forest road bridge train ship cloud storm signal
    number story question answer reason method result budget price weight speed distance history science language picture
    machine battery sensor network message order delivery customer invoice meeting plan report project team moves
    carries builds breaks learns teaches finds keeps sells buys opens closes crosses follows grows turns changes measures
    repairs remembers explains quickly slowly quietly often rarely usually almost together alone early late small large
    bright dark heavy cold warm simple hidden broken careful honest local foreign modern ancient""".split()  # noqa: SIM905 - 130 quoted words do not read better
)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One turn as it goes over the wire, before the model's name is known."""

    messages: tuple[Message, ...]
    max_tokens: int
    seed: int
    temperature: float
    ignore_eos: bool
    cancel_after_tokens: int | None  # None: read to the end
    pooled: bool  # from the pool that a prefix cache may know

    def body(self, model: str) -> bytes:
        """The JSON of a streaming chat completion with usage."""
        fields: dict[str, object] = {
            "model": model,
            "messages": [{"role": role, "content": content} for role, content in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.ignore_eos:
            fields["ignore_eos"] = True
        return json.dumps(fields, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of a conversation adds; the history before it is the conversation's."""

    content: str
    max_tokens: int
    think_time_s: float  # before it is asked; 0 for the first


def request(
    profile: Profile, number: int, *, turn: Turn | None = None, history: tuple[Message, ...] = ()
) -> ChatRequest:
    """Request `number` of the run: a single question, or `turn` after `history`."""
    rng = seeds.stream(profile.seed, "request", number)
    pooled = rng.random() >= profile.prompts.unique_share and turn is None  # a conversation's turns are its user's own
    cancelled = rng.random() < profile.sending.cancel_share
    if turn is None:
        drawn = seeds.stream(profile.seed, "pool", rng.randrange(profile.prompts.pool)) if pooled else rng
        turn = _turn(profile, drawn, first=True)
    system: tuple[Message, ...] = (("system", profile.prompts.system),) if profile.prompts.system else ()
    return ChatRequest(
        messages=(*system, *history, ("user", turn.content)),
        max_tokens=turn.max_tokens,
        seed=rng.randrange(2**31),
        temperature=profile.prompts.temperature,
        ignore_eos=profile.prompts.ignore_eos,
        cancel_after_tokens=profile.sending.cancel_after_tokens if cancelled else None,
        pooled=pooled,
    )


def conversations(profile: Profile, user: int) -> Iterator[tuple[Turn, ...]]:
    """The endless row of conversations that user number `user` has."""
    rng = seeds.stream(profile.seed, "user", user)
    while True:
        turns = max(1, round(draw(profile.prompts.turns, rng)))
        yield tuple(_turn(profile, rng, first=i == 0) for i in range(turns))


def draw(distribution: Distribution, rng: random.Random) -> float:
    """One value."""
    match distribution:
        case Fixed():
            return distribution.value
        case Uniform():
            return rng.uniform(distribution.least, distribution.most)
        case _:
            value = distribution.median * rng.lognormvariate(0.0, distribution.sigma)
            return min(max(value, distribution.least), distribution.most)


def _turn(profile: Profile, rng: random.Random, *, first: bool) -> Turn:
    words = max(1, round(draw(profile.prompts.words, rng)))
    return Turn(
        content=_text(rng, words),
        max_tokens=max(1, round(draw(profile.prompts.answer_tokens, rng))),
        think_time_s=0.0 if first else draw(profile.prompts.think_time_s, rng),
    )


def _text(rng: random.Random, words: int) -> str:
    """Exactly `words` words, in sentences."""
    drawn = [*rng.choice(_OPENINGS).split(), *(rng.choice(_WORDS) for _ in range(words))][:words]
    for start in range(0, len(drawn), 14):
        drawn[start] = drawn[start].capitalize()
        last = min(start + 13, len(drawn) - 1)
        drawn[last] += "."
    return " ".join(drawn)
