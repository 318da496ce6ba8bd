from __future__ import annotations

from pathlib import Path

import pytest

from serving.engine.runners.simulated_profile import SHIPPED, load_profile
from serving.errors import SetupError

TRAINIUM = "trn1.2xlarge-mistral-7b"


@pytest.mark.parametrize("name", [path.stem for path in SHIPPED.glob("*.yaml")])
def test_shipped_profiles_load(name: str) -> None:
    assert load_profile(name).name == name


def test_the_trainium_profile_is_the_roofline_of_its_comments() -> None:
    profile = load_profile(TRAINIUM)
    assert profile.estimate
    for cost in profile.decode_steps:
        read_bytes = 14.22e9 + cost.slots * cost.positions * profile.kv_bytes_per_position
        assert cost.seconds == pytest.approx(read_bytes / 820e9, abs=1e-4)
    for prefill in profile.prefills:
        linear = 2 * 7.1e9 * prefill.tokens
        attention = 32 * 4 * prefill.tokens**2 * 4096
        assert prefill.seconds == pytest.approx((linear + attention) / 190e12, rel=0.1)


def test_the_smallest_entry_that_covers_is_taken() -> None:
    profile = load_profile(TRAINIUM)
    scale = profile.fraction_of_roofline
    assert profile.decode_s(1, 1) * scale == pytest.approx(0.0180)
    assert profile.decode_s(8, 512) * scale == pytest.approx(0.0180)
    assert profile.decode_s(8, 513) * scale == pytest.approx(0.0187)
    assert profile.decode_s(9, 512) * scale == pytest.approx(0.0187)
    assert profile.prefill_s(129) * scale == pytest.approx(0.038)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SetupError, match="instant, trn1"):
        load_profile("trn9")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("estimate: false", "", "'estimate' is missing"),
        ("kv_bits: 16", "kv_bits: many", "wrong kind"),
        ("fraction_of_roofline: 1.0", "fraction_of_roofline: 0", "fraction_of_roofline must be"),
        ("least: 16", "least: 99", "answer_tokens must be"),
        ("tokens: 1048576, seconds: 0.0", "tokens: 1048576, seconds: -1", "negative"),
        ("estimate: false", "estimate: [", "not YAML"),
        ("prefills:\n  - {tokens: 1048576, seconds: 0.0}", "prefills: []", "at least one entry"),
    ],
)
def test_a_faulty_file_is_one_sentence(old: str, new: str, sentence: str, tmp_path: Path) -> None:
    content = (SHIPPED / "instant.yaml").read_text(encoding="utf-8")
    assert old in content
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(content.replace(old, new), encoding="utf-8")
    with pytest.raises(SetupError, match=sentence):
        load_profile(str(faulty))


def test_a_start_up_of_another_length_keeps_the_shares_of_its_stages() -> None:
    profile = load_profile(TRAINIUM)
    short = profile.starting_in(5.9)
    assert [stage.stage for stage in short.start_up] == [stage.stage for stage in profile.start_up]
    assert [stage.seconds for stage in short.start_up] == pytest.approx([1.0, 2.9, 1.8, 0.2])
    assert profile.starting_in(0).start_up[0].seconds == 0
    assert [stage.seconds for stage in load_profile("instant").starting_in(3).start_up] == [3]
