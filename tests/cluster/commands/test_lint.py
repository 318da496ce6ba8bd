import io
import json
from pathlib import Path

import pytest

from cluster.cli import main

BROKEN = "apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata: {name: pool}\nspec: {template: {spec: {}}, disruption: {budgets: []}}\n"


def test_an_error_ends_with_1_and_json_has_the_promised_shape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pool.yaml").write_text(BROKEN)
    assert main(["lint", str(tmp_path), "-o", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "chatbot.lint/v1"
    assert document["summary"].keys() == {"error", "warning", "info", "objects"}
    finding = next(f for f in document["findings"] if f["rule"] == "nodeclassref-incomplete")
    assert finding.keys() >= {"rule", "severity", "object", "file", "path", "message", "fix", "evidence"}
    assert finding["object"] == {"kind": "NodePool", "namespace": "", "name": "pool"}
    assert finding["file"] == str(tmp_path / "pool.yaml")


def test_text_is_grouped_without_colour_off_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pool.yaml").write_text(BROKEN)
    assert main(["lint", str(tmp_path / "pool.yaml")]) == 1
    out = capsys.readouterr().out
    assert "ERROR  node pool" in out
    assert "Fix: " in out
    assert out.rstrip().splitlines()[-1].startswith("1 object: ")
    assert "\033" not in out


def test_nothing_to_find_ends_with_0(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("kind: Service\napiVersion: v1\nmetadata: {name: a}\n"))
    assert main(["lint", "-"]) == 0
    assert capsys.readouterr().out == "1 object: 0 errors, 0 warnings, 0 infos\n"


def test_an_entry_point_that_cannot_be_rendered_ends_with_2_and_the_others_are_linted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/kustomization.yaml").write_text("resources: [gone.yaml]")
    (tmp_path / "pool.yaml").write_text(BROKEN)
    assert main(["lint", str(tmp_path)]) == 2
    out = capsys.readouterr().out
    assert "gone.yaml does not exist" in out
    assert "nodeclassref-incomplete" in out


def test_what_cannot_be_read_ends_with_2_and_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "/nowhere"]) == 2
    assert capsys.readouterr().err == "error: /nowhere does not exist.\n"


def test_render_prints_what_was_filled(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EKS_CLUSTER_NAME", "blue")
    monkeypatch.delenv("KARPENTER_NODE_ROLE", raising=False)
    assert main(["render", "manifests/nodepools"]) == 2
    assert "KARPENTER_NODE_ROLE" in capsys.readouterr().err
    monkeypatch.setenv("KARPENTER_NODE_ROLE", "nodes")
    assert main(["render", "manifests/nodepools", "-o", "json"]) == 0
    assert [item["kind"] for item in json.loads(capsys.readouterr().out)["items"]].count("NodePool") == 2


def test_cost_prints_its_sources(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "manifests/clusters/eks", "--hosted", "1", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [bill["situation"] for bill in document["bills"]][:2] == ["at minimum", "at maximum"]
    assert document["sources"][0]["date"]
    assert main(["cost", "manifests/clusters/eks", "--hosted", "0"]) == 2
