import io
import json
from pathlib import Path

import pytest

from cluster.errors import Refused
from cluster.lint.engine import lint, lint_each
from cluster.lint.source import load, load_each
from cluster.lint.stack import Stack

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"


def rules(stack: Stack) -> list[str]:
    return [finding.rule for finding in lint(stack).findings]


def test_reads_every_document_of_standard_input_and_the_items_of_lists() -> None:
    stack = load("-", io.StringIO(f"{SERVICE}---\n---\nkind: List\nitems: [{{kind: Pod}}, {{kind: Job}}]\n"), {})
    assert [manifest.kind for manifest in stack.manifests] == ["Service", "Pod", "Job"]


def test_reads_a_folder_with_its_files_and_lines_and_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/two.yaml").write_text(f"# first\n{SERVICE}---\n{SERVICE}")
    (tmp_path / "notes.txt").write_text("kind: Service")
    stack = load(str(tmp_path), io.StringIO(), {})
    assert [(m.file, m.line) for m in stack.manifests] == [
        (str(tmp_path / "deep/two.yaml"), 2),
        (str(tmp_path / "deep/two.yaml"), 5),
    ]


def test_an_unreadable_file_of_a_folder_is_a_finding_and_the_others_are_linted(tmp_path: Path) -> None:
    (tmp_path / "chart.yaml").write_text("name: {{ .Release.Name }}-{{ .Values.x }}: [")
    (tmp_path / "ok.yaml").write_text(SERVICE)
    (finding,) = lint(load(str(tmp_path), io.StringIO(), {})).findings
    assert (finding.rule, finding.severity) == ("unreadable-file", "warning")
    assert "helm template" in finding.message


def test_a_repeated_key_is_a_finding_with_its_line() -> None:
    report = lint(load("-", io.StringIO(f"{SERVICE}spec:\n  type: ClusterIP\n  type: NodePort\n"), {}))
    assert [(f.rule, f.path) for f in report.findings] == [("repeated-key", "spec.type")]
    assert "line 6" in report.findings[0].message


def test_a_declared_placeholder_without_a_value_is_linted_by_its_example_and_said(tmp_path: Path) -> None:
    (tmp_path / "placeholders.yaml").write_text("SIDE: {description: A name., example: left}")
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]")
    (tmp_path / "a.yaml").write_text(SERVICE + "spec: {selector: {side: '${SIDE}', other: '${OTHER}'}}\n")
    stack = load(str(tmp_path), io.StringIO(), {})
    assert stack.manifests[0].get("spec", "selector") == {"side": "left", "other": "${OTHER}"}
    assert rules(stack) == ["placeholder-unresolved", "placeholder-unset"]
    assert rules(load(str(tmp_path), io.StringIO(), {"SIDE": "right", "OTHER": "x"})) == []


def test_a_placeholder_that_is_not_declared_beside_the_manifests_is_an_error_with_the_name_that_was_meant(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.yaml").write_text(SERVICE + "spec: {externalName: '${CLUSTERNAME}'}\n")
    (alone,) = lint(load(str(tmp_path / "a.yaml"), io.StringIO(), {})).findings
    assert alone.severity == "warning"
    (tmp_path / "placeholders.yaml").write_text("CLUSTER_NAME: {description: A name., example: left}")
    (finding,) = lint(load(str(tmp_path / "a.yaml"), io.StringIO(), {})).findings
    assert finding.severity == "error"
    assert "not declared in placeholders.yaml; did you mean CLUSTER_NAME?" in finding.message


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.yaml", "a: [", "not readable"),
        ("a.yaml", "{{ if x }}: {{ y }}: [", "Helm template"),
        ("a.yaml", "", "holds no manifest"),
        ("a.yaml", "hello: world", "1 document"),
        ("b/x.txt", "", "no manifest"),
        ("b/kustomization.yaml", "resources: []\nconfigMapGenerator: []", "b"),
        ("b/part/kustomization.yaml", "kind: Component", "components"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path: Path, name: str, content: str, reason: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    with pytest.raises(Refused, match=reason):
        load_each(str(path if path.name == "a.yaml" else tmp_path / "b"), io.StringIO(), {})


def test_standard_input_without_an_object_is_refused() -> None:
    """`helm template CHART | cluster lint -` must not pass when helm fails."""
    with pytest.raises(Refused, match="standard input holds no manifest and no Serve config: it is empty"):
        load("-", io.StringIO(), {})


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(Refused, match="UTF-8"):
        load("-", io.TextIOWrapper(io.BytesIO(b"a: \xff"), encoding="utf-8"), {})


def test_the_kustomization_file_stands_for_its_folder() -> None:
    assert len(load("manifests/nodepools/kustomization.yaml", io.StringIO(), {}).manifests) == 4


def test_a_path_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="does not exist"):
        load("/nowhere/at/all", io.StringIO(), {})


def test_a_serve_config_in_a_file_of_its_own_is_linted() -> None:
    config = "applications: [{name: a, import_path: a:b, deployments: [{name: C, max_concurrent_queries: 3}]}]"
    assert "serve-removed-field" in rules(load("-", io.StringIO(config), {}))


CONFIG = "applications: [{name: a, import_path: 'a:b', other: 1}]"


@pytest.mark.parametrize(
    ("own", "generated", "file"),
    [("", "serve.yaml", "serve.yaml"), ("", "config=serve.yaml", "serve.yaml"), (CONFIG, "notes.txt", "service.yaml")],
)
def test_a_finding_in_a_serve_config_names_the_file_that_it_was_taken_from(
    tmp_path: Path, own: str, generated: str, file: str
) -> None:
    key = generated.partition("=")[0]
    field = "data.config" if key == "config" else f"data.[{key}]"
    replacement = {
        "source": {"kind": "ConfigMap", "name": "made", "fieldPath": field},
        "targets": [{"select": {"kind": "RayService"}, "fieldPaths": ["spec.serveConfigV2"]}],
    }
    kustomization = {
        "resources": ["service.yaml"],
        "configMapGenerator": [{"name": "made", "files": [generated]}],
        "replacements": [] if own else [replacement],
    }
    service = {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "a"},
        "spec": {"serveConfigV2": own},
    }
    for name, content in {
        "kustomization.yaml": json.dumps(kustomization),
        "service.yaml": json.dumps(service),
        "serve.yaml": CONFIG,
        "notes.txt": "nothing",
    }.items():
        (tmp_path / name).write_text(content)
    found = {f.rule: f.manifest.file for f in lint(load(str(tmp_path), io.StringIO(), {})).findings}
    assert found["serve-unknown-key"] == str(tmp_path / file)
    assert found["schema-mismatch"] == str(tmp_path / "service.yaml")


def test_a_serve_config_with_replaced_values_still_belongs_to_its_file() -> None:
    stack = load("manifests/clusters/rehearsal", io.StringIO(), {})
    assert list(stack.serve_files.values()) == ["manifests/serve/serve.yaml"]


def test_a_folder_with_kustomizations_gives_a_stack_for_each_entry_point_and_one_for_loose_files(
    tmp_path: Path,
) -> None:
    for name, content in {
        "base/kustomization.yaml": "resources: [a.yaml]",
        "base/a.yaml": SERVICE,
        "left/kustomization.yaml": "namePrefix: left-\nresources: [../base]",
        "right/kustomization.yaml": "namePrefix: right-\nresources: [../base]\npatches: [{path: patch.yaml}]",
        "right/patch.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {type: NodePort}",
        "extra/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component",
        "loose.yaml": SERVICE,
        "broken/kustomization.yaml": "resources: [gone.yaml]",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    stacks = load_each(str(tmp_path), io.StringIO(), {})
    assert [[m.name for m in stack.manifests] for stack in stacks] == [["left-a"], ["right-a"], ["a"]]
    (finding,) = lint_each(stacks).findings
    assert (finding.rule, finding.severity) == ("unreadable-file", "error")
    assert finding.manifest.file == str(tmp_path / "broken")
    assert [bool(stack.unrendered) for stack in stacks] == [False, False, True]
    assert lint_each(stacks).objects == 3


def test_the_manifests_of_this_repository_have_no_error_as_a_folder() -> None:
    report = lint_each(load_each("manifests", io.StringIO(), {}))
    assert (report.count("error"), report.count("warning")) == (0, 0)
