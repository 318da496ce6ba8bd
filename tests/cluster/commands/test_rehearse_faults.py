import argparse
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from cluster.cli import main
from cluster.commands import rehearse_faults
from cluster.faults import results
from cluster.faults.catalog import FAULTS, SAMPLE, chosen
from cluster.faults.outcome import Outcome


def test_without_a_choice_it_says_what_there_is_to_choose(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearse-faults"]) == 2
    assert "--sample, --all, or --controls N" in capsys.readouterr().err


def test_an_unknown_fault_is_refused_before_a_lab_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearse-faults", "nonsense"]) == 2
    assert "There is no fault nonsense" in capsys.readouterr().err


def test_the_sample_covers_a_manifest_a_component_and_a_node() -> None:
    sample = chosen(list(SAMPLE))
    assert all(any(getattr(fault, how) for fault in sample) for how in ("edits", "without", "scenario"))


def test_all_means_every_fault_that_the_lab_can_show(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    rehearse_faults.add_arguments(parser)
    found = rehearse_faults.faults_of(parser.parse_args(["--all"]))
    hidden = [fault.name for fault in FAULTS if fault.not_rehearsed]
    assert [fault.name for fault in FAULTS if fault not in found] == hidden
    assert all(name in capsys.readouterr().err for name in hidden[-1:])


def test_where_nothing_is_left_to_run_that_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearse-faults", "consolidation-in-mid-stream"]) == 2
    assert "Nothing is left to run" in capsys.readouterr().err


@pytest.fixture
def signals() -> Iterator[None]:
    """The handlers as they were, afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_was_found_before_an_end_from_outside_is_written_and_the_lab_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int
) -> None:
    ended: list[str] = []
    written: list[results.Results] = []

    def outcomes(*_: object) -> Generator[Outcome, None, None]:
        try:
            yield Outcome(
                "operator-dead", "deploy", "autoscaling-failed", "ray-demand-raised", "operator", right=True, took_s=1.0
            )
            signal.raise_signal(number)
            yield Outcome("never", "deploy", "", "", "", right=False, took_s=1.0)
        finally:
            ended.append("lab")

    monkeypatch.setattr(rehearse_faults, "_outcomes", outcomes)
    monkeypatch.setattr(results, "read", results.Results)
    monkeypatch.setattr(results, "write", written.append)
    assert main(["rehearse-faults", "operator-dead", "--write"]) == 130
    assert ended == ["lab"]
    assert [list(found.faults) for found in written] == [["operator-dead"]]
