"""What a simulated machine costs: step times, prefill times and start-up stages, read from a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from serving.errors import SetupError

SHIPPED = Path(__file__).parent / "profiles"


@dataclass(frozen=True, slots=True)
class DecodeCost:
    """One decode of up to `slots` sequences, the longest of which has up to `positions` tokens."""

    slots: int
    positions: int
    seconds: float


@dataclass(frozen=True, slots=True)
class PrefillCost:
    """One prompt, or one piece of a prompt, of up to `tokens`."""

    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StartUpStage:
    """A part of the way from process start to the first token."""

    stage: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """A cost model; every lookup takes the smallest entry that covers what is asked, as compiled buckets do."""

    name: str
    estimate: bool  # True: nobody has measured this
    source: str
    weight_bits: int
    kv_bits: int
    kv_bytes_per_position: int
    splits_prompts: bool
    reads_all_slots: bool  # True: a decode costs its full batch, however few slots live
    fraction_of_roofline: float  # step and prefill times are divided by it
    decode_steps: tuple[DecodeCost, ...]
    prefills: tuple[PrefillCost, ...]
    start_up: tuple[StartUpStage, ...]
    least_answer_tokens: int
    most_answer_tokens: int

    @property
    def most_slots(self) -> int:
        """The largest batch that has a decode time."""
        return max(cost.slots for cost in self.decode_steps)

    @property
    def longest_prompt(self) -> int:
        """The longest prompt, in tokens, that has a prefill time."""
        return max(cost.tokens for cost in self.prefills)

    def most_positions(self, slots: int) -> int:
        """The longest sequence, in tokens, that has a decode time at a batch of `slots`."""
        return max((cost.positions for cost in self.decode_steps if cost.slots >= slots), default=0)

    def starting_in(self, seconds: float) -> Profile:
        """The same machine, but that its start-up takes `seconds` in all, shared out as before."""
        usual_s = sum(stage.seconds for stage in self.start_up)
        if not usual_s:
            return replace(self, start_up=(StartUpStage("start-up", seconds),))
        scaled = [replace(stage, seconds=stage.seconds * seconds / usual_s) for stage in self.start_up]
        return replace(self, start_up=tuple(scaled))

    def decode_s(self, slots: int, positions: int) -> float:
        """Seconds for one decode of `slots` sequences, the longest of which will then have `positions` tokens."""
        covering = [cost for cost in self.decode_steps if cost.slots >= slots and cost.positions >= positions]
        return min(covering, key=lambda cost: (cost.slots, cost.positions)).seconds / self.fraction_of_roofline

    def prefill_s(self, tokens: int) -> float:
        """Seconds for one prompt, or one piece of a prompt, of `tokens`."""
        covering = [cost for cost in self.prefills if cost.tokens >= tokens]
        return min(covering, key=lambda cost: cost.tokens).seconds / self.fraction_of_roofline


def load_profile(name_or_path: str) -> Profile:
    """A profile that is shipped, by name, or any file.

    Raises SetupError with one sentence when there is no such profile or when a field is missing or of the wrong kind.
    """
    shipped = SHIPPED / f"{name_or_path}.yaml"
    path = shipped if shipped.is_file() else Path(name_or_path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        names = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.yaml")))
        raise SetupError(f"No simulated profile {name_or_path!r}: name one of {names}, or a file.") from error
    except yaml.YAMLError as error:
        raise SetupError(f"{path} is not YAML: {error}") from error
    try:
        profile = _profile(path.stem, raw)
    except KeyError as error:
        raise SetupError(f"{path}: the field {error} is missing.") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise SetupError(f"{path}: a field is of the wrong kind: {error}") from error
    _check(path, profile)
    return profile


def _profile(name: str, raw: Mapping[str, Any]) -> Profile:
    return Profile(
        name=name,
        estimate=bool(raw["estimate"]),
        source=str(raw["source"]),
        weight_bits=int(raw["weight_bits"]),
        kv_bits=int(raw["kv_bits"]),
        kv_bytes_per_position=int(raw["kv_bytes_per_position"]),
        splits_prompts=bool(raw["splits_prompts"]),
        reads_all_slots=bool(raw["reads_all_slots"]),
        fraction_of_roofline=float(raw["fraction_of_roofline"]),
        decode_steps=tuple(
            DecodeCost(int(cost["slots"]), int(cost["positions"]), float(cost["seconds"]))
            for cost in raw["decode_steps"]
        ),
        prefills=tuple(PrefillCost(int(cost["tokens"]), float(cost["seconds"])) for cost in raw["prefills"]),
        start_up=tuple(StartUpStage(str(stage["stage"]), float(stage["seconds"])) for stage in raw["start_up"]),
        least_answer_tokens=int(raw["answer_tokens"]["least"]),
        most_answer_tokens=int(raw["answer_tokens"]["most"]),
    )


def _check(path: Path, profile: Profile) -> None:
    if not profile.decode_steps or not profile.prefills:
        raise SetupError(f"{path}: decode_steps and prefills need at least one entry each.")
    if not 0 < profile.fraction_of_roofline <= 1:
        raise SetupError(f"{path}: fraction_of_roofline must be above 0 and at most 1.")
    if not 1 <= profile.least_answer_tokens <= profile.most_answer_tokens:
        raise SetupError(f"{path}: answer_tokens must be least <= most, from 1 on.")
    seconds = [c.seconds for c in profile.decode_steps] + [c.seconds for c in profile.prefills]
    seconds += [stage.seconds for stage in profile.start_up]
    if min(seconds) < 0:
        raise SetupError(f"{path}: seconds must not be negative.")
