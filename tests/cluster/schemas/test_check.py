import pytest

from cluster.documents import read
from cluster.schemas import POD_TEMPLATE, Problem, load


def problems(kind: str, content: str) -> list[Problem]:
    schema = load().find(kind)
    assert schema is not None
    return list(load().check(next(iter(read(content))).value, schema))


@pytest.mark.parametrize(
    ("content", "path", "kind"),
    [
        ("spec: {template: {spec: {}}, wieght: 3}", "spec.wieght", "unknown"),
        ("spec: {template: {spec: {}}, weight: many}", "spec.weight", "type"),
        ("spec: {template: {spec: {}}, weight: 200}", "spec.weight", "range"),
        (
            "spec: {template: {spec: {requirements: [], nodeClassRef: {kind: A, name: b}}}}",
            "spec.template.spec.nodeClassRef.group",
            "missing",
        ),
        ("spec: {template: {spec: {expireAfter: 30d}}}", "spec.template.spec.expireAfter", "pattern"),
    ],
)
def test_a_node_pool_is_held_to_karpenters_schema(content: str, path: str, kind: str) -> None:
    assert (path, kind) in {(problem.path, problem.kind) for problem in problems("karpenter.sh/v1/NodePool", content)}


def test_numbers_and_strings_are_both_quantities_and_null_is_absent() -> None:
    content = "spec: {containers: [{name: a, resources: {limits: {cpu: 1, memory: 1Gi}}, env: null}]}"
    assert problems(POD_TEMPLATE, content) == []


def test_a_near_miss_names_what_was_meant() -> None:
    (problem,) = problems(POD_TEMPLATE, "spec: {containers: [{name: a, imagepullpolicy: Always}]}")
    assert "did you mean imagePullPolicy?" in problem.message


def test_every_schema_has_its_source_and_licence() -> None:
    assert all(source["module"] and source["file"] and source["licence"] == "Apache-2.0" for source in load().sources)
    assert {"ray.io/v1/RayService", "karpenter.sh/v1/NodePool", "karpenter.k8s.aws/v1/EC2NodeClass"} <= set(
        load().kinds
    )
