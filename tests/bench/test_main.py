from __future__ import annotations

import pytest

from bench.__main__ import Row, main, missed
from bench.engine import SAMPLINGS
from serving.model.catalog import KNOWN


def test_a_missed_limit_is_named_by_its_benchmark_and_its_first_column() -> None:
    results: dict[str, list[Row]] = {
        "loadtest": [{"case": "ttft p50", "kept": True}, {"case": "lag", "kept": False}],
        "lint": [{"objects": 1000, "within": False}],
        "throughput": [{"streams": 1}],
    }
    assert missed(results) == ["loadtest, case lag", "lint, objects 1000"]


def test_the_help_says_what_the_exit_code_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "does not change the exit code" in " ".join(capsys.readouterr().out.split())


def test_sampling_is_measured_as_the_products_model_recommends_it_and_at_the_extremes() -> None:
    (model,) = KNOWN.values()
    measured = [{"temperature": s.temperature, "top_p": s.top_p} for s in SAMPLINGS.values()]
    assert model.sampling in measured
    assert {"temperature": 0, "top_p": 1.0} in measured
    assert {"temperature": 1.0, "top_p": 1.0} in measured
