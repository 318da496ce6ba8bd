"""Our own manifests through the target's verbs, on the real API server; Karpenter and KubeRay are a double's statuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from cluster.client import Api
from cluster.errors import ClusterError, NotReady, Refused
from cluster.objects import Manifest
from cluster.permissions import Right, manifests
from cluster.rehearsal.control_plane import ControlPlane
from cluster.targets.eks.target import EksTarget
from tests.cluster.test_release import open_release
from tests.support.scripted_chat import Refuse, ScriptedChat, listening
from tests.support.status_double import StatusDouble

pytestmark = pytest.mark.cluster

DEPLOYER = "chatbot-deployer"


@pytest.fixture
def chat() -> ScriptedChat:
    return ScriptedChat()


@pytest.fixture
def open_target(chat: ScriptedChat) -> Iterator[Callable[[Api], EksTarget]]:
    """The target of the EKS manifests on an API server; its front door leads to a scripted chat."""
    with listening(chat) as address:

        @contextmanager
        def front_door() -> Iterator[str]:
            yield address

        def make(api: Api) -> EksTarget:
            return EksTarget(open_release(api, "eks", []), front_door, "kubectl port-forward", lambda *_: None)

        yield make


def told(target: EksTarget) -> list[str]:
    lines = target.release.tell.__self__  # type: ignore[attr-defined]
    assert isinstance(lines, list)
    return lines


def deployer(control_plane: ControlPlane, admin: Api, rights: list[Right]) -> Api:
    """The API server as a user with exactly these rights sees it; the administrator bound them."""
    roles = [Manifest(value) for value in manifests(rights, DEPLOYER)]
    for role in roles:
        resource = admin.resource(role.api_version, role.kind)
        assert resource is not None
        if role.namespace:
            ensure_namespace(admin, role.namespace)
        stale = admin.get(resource, role.name, role.namespace)
        if stale is not None:
            admin.delete(stale, resource)
        admin.apply(role.value, resource)
    return Api.connect(control_plane.kubeconfig_for(DEPLOYER))


def ensure_namespace(admin: Api, name: str) -> None:
    resource = admin.resource("v1", "Namespace")
    assert resource is not None
    if admin.get(resource, name) is None:
        admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, resource)


def test_up_asks_a_real_question_and_the_second_up_changes_nothing(
    api: Api, controllers: StatusDouble, open_target: Callable[[Api], EksTarget], chat: ScriptedChat
) -> None:
    controllers.install_controllers()
    target = open_target(api)
    assert not target.status().deployed
    target.up()
    assert len(chat.calls) == 1
    status = target.status()
    assert (status.deployed, status.healthy) == (True, True)
    told(target).clear()
    target.up()
    assert "No change" in "\n".join(told(target))
    assert target.endpoint().startswith("http://127.0.0.1:")
    target.down()
    assert not target.status().deployed
    with pytest.raises(NotReady, match="does not stand"):
        target.endpoint()


def test_a_service_that_is_ready_and_refuses_to_chat_is_not_up(
    api: Api, controllers: StatusDouble, open_target: Callable[[Api], EksTarget], chat: ScriptedChat
) -> None:
    controllers.install_controllers()
    chat.refuse_with(Refuse.openai(503, "overloaded"))
    with pytest.raises(NotReady, match=r"does not answer a chat request.*503.*overloaded"):
        open_target(api).up()


@pytest.mark.parametrize(
    ("installed", "sentence"),
    [
        ({"kuberay": ""}, "KubeRay's operator does not run.*helm upgrade --install kuberay-operator"),
        ({"karpenter": ""}, "Karpenter does not run"),
        ({"karpenter": "1.5.0"}, r"is 1\.5\.0; Kubernetes 1\.36 needs 1\.13\.0 or newer"),
        ({"kuberay": "1.7.0"}, r"is 1\.7\.0, and these manifests are written for 1\.6\.1"),
    ],
)
def test_without_what_it_stands_on_it_is_refused_before_the_first_write(
    api: Api,
    controllers: StatusDouble,
    open_target: Callable[[Api], EksTarget],
    installed: dict[str, str],
    sentence: str,
) -> None:
    controllers.install_controllers(**installed)
    target = open_target(api)
    with pytest.raises(Refused, match=f"(?s)Nothing was changed.*{sentence}"):
        target.up()
    assert target.release.stage.ours(target.release.desired) == []


def test_exactly_the_printed_rights_suffice_for_deploy_and_destroy(
    control_plane: ControlPlane, api: Api, controllers: StatusDouble, open_target: Callable[[Api], EksTarget]
) -> None:
    controllers.install_controllers()
    rights = open_target(api).release.rights()
    target = open_target(deployer(control_plane, api, rights))
    target.up()
    target.up()
    assert target.status().healthy
    target.down()
    assert [str(Manifest(v).key) for v in target.release.stage.ours(target.release.desired)] == []


def test_without_one_of_the_printed_rights_it_is_refused_before_the_first_write_and_the_right_is_named(
    control_plane: ControlPlane, api: Api, controllers: StatusDouble, open_target: Callable[[Api], EksTarget]
) -> None:
    controllers.install_controllers()
    rights = open_target(api).release.rights()
    for lacking in [
        Right("create", "ray.io", "rayservices", "chatbot"),
        Right("patch", "karpenter.sh", "nodepools", "", "trainium-trn1"),
        Right("delete", "karpenter.k8s.aws", "ec2nodeclasses", "", "trainium-trn1"),
        Right("watch", "karpenter.sh", "nodeclaims"),
        Right("update", "", "pods"),  # only because the device plugin's role grants it
    ]:
        assert lacking in rights
        kept = [right for right in rights if right != lacking]
        target = open_target(deployer(control_plane, api, kept))
        with pytest.raises(Refused, match=f"Nothing was changed.*\n.*you are not allowed to {lacking}$"):
            target.up()
    assert open_target(api).release.stage.ours(open_target(api).release.desired) == []


def test_what_does_not_come_up_fails_with_explains_sentence(
    api: Api, controllers: StatusDouble, open_target: Callable[[Api], EksTarget], monkeypatch: pytest.MonkeyPatch
) -> None:
    controllers.install_controllers()
    controllers.ray_services_become_ready = False
    monkeypatch.setattr("cluster.apply.READY_TIMEOUT_S", {phase: 30.0 if phase < 5 else 0.0 for phase in range(6)})
    target = open_target(api)
    with pytest.raises(NotReady, match=r"(?s)is not ready after 0 s.*RayService chatbot/chatbot waits for KubeRay"):
        target.up()


def test_a_variable_that_is_not_set_stops_a_deploy_and_no_destroy(
    api: Api, open_target: Callable[[Api], EksTarget]
) -> None:
    complete = open_target(api)
    target = replace(complete, release=replace(complete.release, unset_variables="EKS_CLUSTER_NAME is not set"))
    with pytest.raises(Refused, match="EKS_CLUSTER_NAME is not set"):
        target.up()
    target.down()


def test_a_connection_that_is_refused_is_one_sentence(
    api: Api, open_target: Callable[[Api], EksTarget], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = open_target(api)
    monkeypatch.setattr(api, "pace", replace(api.pace, sleep=lambda _: None))
    monkeypatch.setattr(api.transport._dynamic.client.configuration, "host", "https://127.0.0.1:9")
    with pytest.raises(ClusterError, match=r"does not answer .* check the kubeconfig, the network and the cluster"):
        target.up()
