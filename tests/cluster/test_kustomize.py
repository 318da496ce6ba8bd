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


CHAT = "apiVersion: ray.io/v1\nkind: RayService\nmetadata: {name: chat}\nspec: {groups: [{names: [a]}]}\n"
PATCH = (
    "resources: [../base]\npatches: [{target: {kind: RayService}, patch: '- {op: add, path: /spec/%s/-, value: b}'}]"
)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("base/map.yaml", f"{MAP}more:\n\tx: 1\n", "base/map.yaml is not readable: line 7: "),
        ("base/map.yaml", f"{MAP}kind: Secret\n", "base/map.yaml has the key kind twice, again on line 6"),
        ("base/kustomization.yaml", "resources: [gone.yaml]", "base/gone.yaml does not exist"),
        ("overlay/kustomization.yaml", PATCH % "group/0/names", "base/map.yaml has `groups` in place of `group`"),
        ("overlay/kustomization.yaml", PATCH % "groups/0/name", "base/map.yaml has `names` in place of `name`"),
        ("overlay/kustomization.yaml", PATCH % "other/0", "cannot render overlay: add operation does not apply"),
        ("base/kustomization.yaml", "resources: [map.yaml]\nnope: 1", 'cannot render overlay: base: .*"nope"'),
    ],
)
def test_a_failure_is_put_down_to_the_file_that_has_it(
    overlay: Path, file: str, content: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(overlay.parent)
    Path("base/kustomization.yaml").write_text("resources: [map.yaml]")
    Path("base/map.yaml").write_text(CHAT)
    Path(file).write_text(content)
    with pytest.raises(Refused, match=said) as refused:
        render(Path("overlay"), {})
    assert "accumulat" not in str(refused.value)


def test_a_folder_without_a_kustomization_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not a kustomization"):
        render(tmp_path, {})
