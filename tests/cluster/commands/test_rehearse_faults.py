import argparse

import pytest

from cluster.cli import main
from cluster.commands import rehearse_faults
from cluster.faults.catalog import FAULTS, SAMPLE, chosen
from cluster.faults.fault import Place


def test_without_a_choice_it_says_what_there_is_to_choose(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearse-faults"]) == 2
    assert "--sample, --all, or --controls N" in capsys.readouterr().err


def test_an_unknown_fault_is_refused_before_a_lab_is_started(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearse-faults", "nonsense"]) == 2
    assert "There is no fault nonsense" in capsys.readouterr().err


def test_the_sample_covers_a_manifest_a_component_and_a_node() -> None:
    assert {fault.place for fault in chosen(list(SAMPLE))} == set(Place)


def test_all_means_every_fault_that_the_lab_can_show(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    rehearse_faults.add_arguments(parser)
    found = rehearse_faults.faults_of(parser.parse_args(["--all"]))
    hidden = [fault.name for fault in FAULTS if fault.not_rehearsed]
    assert [fault.name for fault in FAULTS if fault not in found] == hidden
    assert all(name in capsys.readouterr().err for name in hidden[-1:])
