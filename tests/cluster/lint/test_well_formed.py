"""Manifests in the style of the public samples, correct ones: no finding of severity error, whoever wrote them."""

from pathlib import Path

import pytest

from cluster.lint.engine import lint
from cluster.lint.source import load

SAMPLES = sorted((Path(__file__).parent / "well_formed").glob("*.yaml"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_a_well_formed_manifest_has_no_error(sample: Path) -> None:
    with sample.open(encoding="utf-8") as stream:
        findings = lint(load("-", stream, {})).findings
    assert [(f.rule, f.path, f.message) for f in findings if f.severity == "error"] == []
