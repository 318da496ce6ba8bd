"""docs/neuron.md is what it says: every pitfall has tests that exist, and the way that it describes is the one that is deployed."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from serving import neuron, setting_flags
from serving.cli import build_parser
from serving.settings import Settings, load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "neuron.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (P\d+) \|([^|]+)\|([^|]+)\|([^|]+)\|$", re.MULTILINE)
NAMED = re.compile(r"`(test_[a-z0-9_]+)(…?)`")


@dataclass(frozen=True)
class Pitfall:
    """A row of the page's table."""

    number: str
    cure: str
    tests: str

    @property
    def named(self) -> list[tuple[str, bool]]:
        """Names of tests, and whether only the beginning of one."""
        return [(name, bool(cut)) for name, cut in NAMED.findall(self.tests)]

    @property
    def mark(self) -> re.Pattern[str]:
        """Its number as test names write it."""
        return re.compile(rf"_{self.number.lower()}_")


PITFALLS = [Pitfall(number, cure, tests) for number, _, cure, tests in ROW.findall(PAGE)]


def _functions(folder: str) -> Iterator[str]:
    for path in (ROOT / "tests" / folder).rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from (node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


IN_CI = sorted(set(_functions("serving")))
ON_THE_EMULATION = sorted(set(_functions("neuron_emulation")))


def test_the_table_has_every_pitfall_of_the_contract_once() -> None:
    assert [pitfall.number for pitfall in PITFALLS] == [f"P{n}" for n in range(1, 25)]


@pytest.mark.parametrize("pitfall", PITFALLS, ids=lambda pitfall: pitfall.number)
def test_a_pitfall_names_a_test_that_runs_in_ci(pitfall: Pitfall) -> None:
    assert pitfall.named
    for name, cut in pitfall.named:
        assert [found for found in IN_CI if found == name or (cut and found.startswith(name))], name


@pytest.mark.parametrize("pitfall", [p for p in PITFALLS if "emulation" in p.tests], ids=lambda pitfall: pitfall.number)
def test_what_is_said_to_be_shown_on_the_emulation_is(pitfall: Pitfall) -> None:
    assert [name for name in ON_THE_EMULATION if pitfall.mark.search(name)]


def test_every_test_that_names_a_pitfall_stands_in_its_row() -> None:
    rows = {pitfall.number.lower(): pitfall for pitfall in PITFALLS}
    for test in IN_CI:
        for number in re.findall(r"(?:^test|and)_(p\d+)_", test):
            assert any(test.startswith(name) for name, _ in rows[number].named), test
    for test in ON_THE_EMULATION:
        for number in re.findall(r"(?:^test|and)_(p\d+)_", test):
            assert "emulation" in rows[number].tests, test


def test_every_decision_that_the_page_names_exists() -> None:
    decisions = re.findall(r"\]\((decisions/[a-z-]+\.md)\)", PAGE)
    assert decisions
    assert [name for name in decisions if not (ROOT / "docs" / name).is_file()] == []


def _said(command: str) -> list[str]:
    """A command of the page, as its words."""
    block = next(b for b in re.findall(r"(?:^ {7}.*\n)+", PAGE, re.MULTILINE) if command in b)
    return shlex.split(block.replace("\\\n", " "))


def _deployed(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What a worker of manifests/clusters/eks starts with: the Serve config's args over the pod's environment."""
    manifests = ROOT / "manifests"
    for file in ("chat/base/rayservice.yaml", "clusters/eks/kustomization.yaml"):
        for name, value in re.findall(r'name: (CHATBOT_\w+), value: "?([^"}]+)"?\}', (manifests / file).read_text()):
            monkeypatch.setenv(name, value)
    [application] = yaml.safe_load((manifests / "serve" / "serve.yaml").read_text())["applications"]
    return load(application["args"])


def test_what_the_page_compiles_is_what_the_manifests_start(monkeypatch: pytest.MonkeyPatch) -> None:
    args = build_parser().parse_args(_said("-m serving compile")[3:])
    compiled = setting_flags.settings(args, setting_flags.NEURON, runner__kind="neuron")
    assert args.with_checkpoint
    deployed = _deployed(monkeypatch)
    assert (deployed.runner.kind, deployed.model.name) == ("neuron", compiled.model.name)
    assert neuron.neuron_plan(deployed) == neuron.neuron_plan(compiled)
    assert deployed.neuron.model_revision in ("", compiled.neuron.model_revision)


def test_the_page_names_the_same_settings_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = dict(word.split("=", 1) for word in _said("CHATBOT_RUNNER__KIND=neuron"))
    for name, value in by_hand.items():
        monkeypatch.setenv(name, value)
    here = load()
    monkeypatch.undo()
    deployed = _deployed(monkeypatch)
    assert neuron.neuron_plan(here) == neuron.neuron_plan(deployed)
    assert (here.model, here.neuron.model_revision) == (deployed.model, deployed.neuron.model_revision)
