import pytest

from cluster.faults.edit import GONE, Edit, apply
from cluster.objects import Manifest

POOL = Manifest({"kind": "NodePool", "metadata": {"name": "a"}, "spec": {"limits": {"x/y": "1"}, "list": [1, 2]}})
SERVICE = Manifest({"kind": "RayService", "metadata": {"name": "a"}, "spec": {"config": "apps:\n- n: 1\n"}})
OBJECTS = [POOL, SERVICE]


def spec(edit: Edit) -> object:
    return next(m.spec for m in apply([edit], OBJECTS) if m.kind == edit.kind)


def test_a_value_is_set_and_the_original_stays() -> None:
    assert spec(Edit("NodePool", "a", "/spec/limits/x~1y", "2")) == {"limits": {"x/y": "2"}, "list": [1, 2]}
    assert POOL.spec["limits"] == {"x/y": "1"}


def test_a_value_is_removed_from_a_mapping_and_from_a_list() -> None:
    assert spec(Edit("NodePool", "a", "/spec/limits", GONE)) == {"list": [1, 2]}
    assert spec(Edit("NodePool", "a", "/spec/list/0", GONE)) == {"limits": {"x/y": "1"}, "list": [2]}


def test_a_minus_appends() -> None:
    assert spec(Edit("NodePool", "a", "/spec/list/-", 3)) == {"limits": {"x/y": "1"}, "list": [1, 2, 3]}


def test_a_path_leads_into_yaml_that_stands_in_a_string() -> None:
    assert spec(Edit("RayService", "a", "/spec/config/apps/0/n", 2)) == {"config": "apps:\n- n: 2\n"}


def test_a_whole_object_is_added_replaced_and_removed() -> None:
    assert [m.name for m in apply([Edit("Secret", "s", "", {"metadata": {"name": "s"}})], OBJECTS)] == ["a", "a", "s"]
    assert apply([Edit("NodePool", "a", "", GONE)], OBJECTS) == [SERVICE]


@pytest.mark.parametrize(
    "edit",
    [
        Edit("NodePool", "b", "/spec/limits", GONE),
        Edit("NodePool", "a", "/spec/nothing/there", 1),
        Edit("NodePool", "a", "/spec/list/7", 1),
        Edit("NodePool", "a", "/spec/nothing", GONE),
        Edit("NodePool", "a", "/spec/limits/x~1y", "1"),
    ],
)
def test_an_edit_that_finds_no_place_or_changes_nothing_is_an_error(edit: Edit) -> None:
    with pytest.raises(ValueError, match="NodePool"):
        apply([edit], OBJECTS)
