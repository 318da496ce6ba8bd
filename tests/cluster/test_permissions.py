from __future__ import annotations

from cluster.objects import Manifest
from cluster.permissions import Plural, Right, manifests, required
from tests.support.manifests import chatbot, config_map, node_pool

PLURALS = {
    ("v1", "Namespace"): Plural("namespaces", namespaced=False),
    ("v1", "ConfigMap"): Plural("configmaps", namespaced=True),
    ("v1", "Secret"): Plural("secrets", namespaced=True),
    ("ray.io/v1", "RayService"): Plural("rayservices", namespaced=True),
    ("karpenter.sh/v1", "NodePool"): Plural("nodepools", namespaced=False),
    ("karpenter.k8s.aws/v1", "EC2NodeClass"): Plural("ec2nodeclasses", namespaced=False),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): Plural("clusterroles", namespaced=False),
    ("apps/v1", "DaemonSet"): Plural("daemonsets", namespaced=True),
}


def test_an_object_is_created_by_kind_and_touched_by_name() -> None:
    rights = required([node_pool()], PLURALS)
    own = [right for right in rights if right.resource == "nodepools" and right.name]
    assert Right("create", "karpenter.sh", "nodepools") in rights
    assert [(right.verb, right.name) for right in own] == [
        ("get", "trainium-trn1"),
        ("patch", "trainium-trn1"),
        ("delete", "trainium-trn1"),
    ]


def test_every_right_is_asked_for_once() -> None:
    rights = required(chatbot(), PLURALS)
    assert len(rights) == len(set(rights))


def test_secrets_are_listed_in_our_namespace_and_nowhere_else() -> None:
    plugin = Manifest(
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "p", "namespace": "kube-system"}}
    )
    rights = required([*chatbot(), plugin], PLURALS)
    assert [right.namespace for right in rights if right.resource == "secrets"] == ["chatbot"]
    listed = {right.namespace for right in rights if right.resource == "daemonsets" and right.verb == "list"}
    assert listed == {"chatbot", "kube-system"}


def test_whoever_applies_a_role_needs_the_rights_in_it() -> None:
    role = Manifest(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "plugin"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["update"], "resourceNames": ["a"]}],
        }
    )
    assert Right("update", "", "pods", "", "a") in required([role], PLURALS)


def test_a_kind_that_is_not_served_needs_no_right() -> None:
    assert [right for right in required([config_map()], {}) if right.resource == "configmaps"] == []


def test_roles_hold_the_rights_in_few_rules_and_are_bound_to_the_user() -> None:
    rights = [
        Right("get", "", "pods", "a"),
        Right("list", "", "pods", "a"),
        Right("get", "", "events", "a"),
        Right("list", "", "events", "a"),
        Right("patch", "karpenter.sh", "nodepools", "", "x"),
        Right("patch", "karpenter.sh", "nodepools", "", "y"),
    ]
    cluster_role, binding, role, _ = manifests(rights, "jane")
    assert cluster_role["rules"] == [
        {"apiGroups": ["karpenter.sh"], "resources": ["nodepools"], "verbs": ["patch"], "resourceNames": ["x", "y"]}
    ]
    assert binding["subjects"] == [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["events", "pods"], "verbs": ["get", "list"]}]


def test_a_right_on_any_name_is_not_narrowed_by_one_on_a_name() -> None:
    rights = [Right("get", "", "pods", "a"), Right("get", "", "pods", "a", "x")]
    role, _ = manifests(rights, "jane")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]


def test_a_right_says_itself() -> None:
    assert str(Right("patch", "karpenter.sh", "nodepools", "", "x")) == "patch nodepools.karpenter.sh x"
    right = Right("create", "", "pods/portforward", "chatbot")
    assert str(right) == "create pods/portforward in namespace chatbot"
    assert (right.attributes["resource"], right.attributes["subresource"]) == ("pods", "portforward")
