"""The smoke test for the chip, on the contract fake: it passes where the contract is kept and fails where it is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serving import neuron_smoke
from serving.neuron_smoke import main
from tests.support.neuron_model import ContractModel
from tests.support.neuron_settings import NEURON, checkpoint


def _flags(tmp_path: Path, *, slots: int = 4, positions: int = 256, **neuron: object) -> list[str]:
    model = checkpoint(tmp_path / "tiny-mistral")
    settings = [f"--set=neuron.{name}={value}" for name, value in (NEURON | neuron).items()]
    return [f"--model={model}", f"--slots={slots}", f"--positions={positions}", *settings]


def test_it_times_every_graph_and_finds_the_contract_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*_flags(tmp_path), "-o", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["differences"] == []
    assert [(t["graph"], t["bucket"]) for t in report["times"]] == [
        ("prefill", 32),
        ("prefill", 128),
        ("decode", 64),
        ("decode", 256),
    ]
    assert set(report["startup_s"]) == {"weights", "graphs"}


def test_it_fails_where_one_slot_disturbs_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefill = ContractModel._prefill

    def leaking(self: ContractModel, tokens, positions, slot: int):  # type: ignore[no-untyped-def] # passes them on
        if slot:
            self.cache[slot - 1, 0] = 0
        return prefill(self, tokens, positions, slot)

    monkeypatch.setattr(ContractModel, "_prefill", leaking)
    assert main(_flags(tmp_path)) == 1
    assert "in company" in capsys.readouterr().out


def test_in_many_slots_of_few_positions_no_answer_goes_past_its_slot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = _flags(tmp_path, slots=16, positions=32, decode_buckets=[32], prefill_buckets=[32])
    assert main(flags) == 0, capsys.readouterr()


def test_where_there_is_room_all_slots_decode_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    decode = ContractModel._decode

    def counting(self: ContractModel, tokens, positions, slots):  # type: ignore[no-untyped-def] # passes them on
        rows.append(len(slots))
        return decode(self, tokens, positions, slots)

    def untimed(_: object, bucket: int) -> dict[str, object]:
        return {"graph": "decode", "bucket": bucket, "seconds": 0.0}

    monkeypatch.setattr(ContractModel, "_decode", counting)
    monkeypatch.setattr(neuron_smoke, "_timed_decode", untimed)
    assert main(_flags(tmp_path, slots=16)) == 0
    assert max(rows) == 16


def test_a_chip_that_fails_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("NRT_EXEC_HW_ERR\nat core 1")

    monkeypatch.setattr(ContractModel, "_decode", fail)
    assert main(_flags(tmp_path)) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: transformers-neuronx failed: RuntimeError('NRT_EXEC_HW_ERR")
    assert error.count("\n") == 1


def test_a_model_that_does_not_start_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model=/no/such/folder"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
