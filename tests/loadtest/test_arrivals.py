"""Schedules: exact for even arrivals, right in distribution for Poisson, the same for the same seed."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import TypeAdapter

from loadtest.arrivals import expected, schedule
from loadtest.spec import RateShape
from tests.support.load_profiles import profile

SHAPES: list[dict[str, Any]] = [
    {"shape": "constant", "per_s": 20},
    {"shape": "ramp", "from_per_s": 0, "to_per_s": 40},
    {"shape": "step", "levels_per_s": [10, 20, 30]},
    {"shape": "spike", "base_per_s": 15, "peak_per_s": 65, "start_s": 5, "length_s": 1},
    {"shape": "sine", "mean_per_s": 20, "amplitude_per_s": 20, "period_s": 10},
    {"shape": "replay", "file": "trace", "offsets_s": [i / 20 for i in range(200)]},
]


def stages(shape: dict[str, Any], duration_s: float = 10) -> list[dict[str, Any]]:
    return [{"name": "only", "duration_s": duration_s, "rate": shape}]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: str(shape["shape"]))
def test_every_shape_offers_its_integral_in_order_and_within_the_stage(shape: dict[str, Any]) -> None:
    arrivals = schedule(profile(stages=stages(shape)))
    assert 199 <= len(arrivals) <= 201
    instants = [arrival.at_s for arrival in arrivals]
    assert instants == sorted(instants)
    assert instants[0] >= 0
    assert instants[-1] < 10


def test_even_arrivals_of_a_constant_rate_are_equally_far_apart() -> None:
    instants = [arrival.at_s for arrival in schedule(profile(stages=stages(SHAPES[0])))]
    assert instants == pytest.approx([i / 20 for i in range(200)], abs=1e-6)


def test_a_spike_is_where_the_profile_puts_it() -> None:
    instants = [arrival.at_s for arrival in schedule(profile(stages=stages(SHAPES[3])))]
    assert sum(5 <= at_s < 6 for at_s in instants) == pytest.approx(65, abs=1)
    assert sum(at_s < 5 for at_s in instants) == pytest.approx(75, abs=1)


def test_poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() -> None:
    arrivals = schedule(profile(process="poisson", stages=stages({"shape": "constant", "per_s": 50}, 200)))
    instants = [arrival.at_s for arrival in arrivals]
    gaps = [later - earlier for earlier, later in itertools.pairwise(instants)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert mean == pytest.approx(1 / 50, rel=0.05)
    assert variance**0.5 == pytest.approx(mean, rel=0.05)


def test_the_same_seed_gives_the_same_instants_and_another_seed_others() -> None:
    one = schedule(profile(process="poisson"))
    assert one == schedule(profile(process="poisson"))
    assert one != schedule(profile(process="poisson", seed=12))


def test_a_stage_does_not_disturb_the_draws_of_the_next() -> None:
    tail = {"name": "tail", "duration_s": 5, "rate": SHAPES[0]}
    short = schedule(profile(process="poisson", stages=[{"name": "a", "duration_s": 1, "rate": SHAPES[0]}, tail]))
    busy = schedule(
        profile(
            process="poisson", stages=[{"name": "a", "duration_s": 1, "rate": {"shape": "constant", "per_s": 90}}, tail]
        )
    )
    assert [a.at_s for a in short if a.stage == 1] == [a.at_s for a in busy if a.stage == 1]


def test_more_arrivals_than_the_bounds_allow_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bounds\.requests = 100"):
        schedule(profile(stages=stages(SHAPES[0]), bounds={"requests": 100}))


def rates() -> SearchStrategy[RateShape]:
    adapter: TypeAdapter[RateShape] = TypeAdapter(RateShape)
    return st.sampled_from([adapter.validate_python(shape) for shape in SHAPES])


@settings(deadline=None)
@given(rates(), st.floats(0, 10), st.floats(0, 10))
def test_expected_arrivals_never_fall(rate: RateShape, one_s: float, other_s: float) -> None:
    earlier, later = sorted((one_s, other_s))
    assert expected(rate, earlier, 10) <= expected(rate, later, 10) + 1e-9
