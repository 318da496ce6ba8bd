from pathlib import Path

import pytest

from cluster.errors import Refused
from cluster.kustomize import render

MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, annotations: {mine: kept}}
data: {cluster: "${CLUSTER}", dollar: "$(NOT_OURS)"}
"""


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    for name, content in {
        "placeholders.yaml": "CLUSTER: {description: Name of the cluster., example: blue}",
        "base/kustomization.yaml": "resources: [map.yaml]\nconfigMapGenerator: [{name: made, literals: [a=b]}]",
        "base/map.yaml": MAP,
        "overlay/kustomization.yaml": "namespace: there\nresources: [../base]",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path / "overlay"


def test_objects_know_the_file_they_were_written_in(overlay: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(overlay.parent)
    made, settings = render(overlay, {"CLUSTER": "green"})
    assert (settings.file, made.file) == ("base/map.yaml", "base/kustomization.yaml")
    assert settings.annotations == {"mine": "kept"}
    assert str(settings.key) == "ConfigMap there/settings"
    assert settings.get("data") == {"cluster": "green", "dollar": "$(NOT_OURS)"}


def test_a_missing_placeholder_is_an_error_with_its_name_and_meaning(overlay: Path) -> None:
    with pytest.raises(Refused, match=r"CLUSTER: Name of the cluster\. \(for example blue\)"):
        render(overlay, {"CLUSTER": ""})


def test_an_undeclared_placeholder_is_named_too(overlay: Path) -> None:
    (overlay.parent / "base/map.yaml").write_text(MAP.replace("$(NOT_OURS)", "$ZONE"))
    with pytest.raises(Refused, match="ZONE: not declared"):
        render(overlay, {"CLUSTER": "green"})


def test_what_kustomize_refuses_is_refused_with_its_words(overlay: Path) -> None:
    (overlay / "kustomization.yaml").write_text("resources: [../gone]")
    with pytest.raises(Refused, match="gone"):
        render(overlay, {})


def test_a_folder_without_a_kustomization_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not a kustomization"):
        render(tmp_path, {})
