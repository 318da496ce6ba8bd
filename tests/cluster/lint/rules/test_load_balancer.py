from __future__ import annotations

import pytest

from cluster.lint.engine import lint
from tests.support.lint_stack import GONE, HEAD_POD, WORKER_POD, Add, Edit, build

OPEN = [Edit("serve", "applications[0].args.api", GONE)]
NO_INGRESS = [Edit("ingress", "", GONE)]
FILE = {"name": "CHATBOT_API__API_KEYS_FILE", "value": "/etc/chatbot/keys"}


def ways_in(*changes: Edit | Add) -> list[str]:
    findings = lint(build([*OPEN, *changes])).findings
    return [f"{f.manifest.kind} {f.path}" for f in findings if f.rule == "open-chatbot-behind-load-balancer"]


def service(kind: str, selector: str) -> Add:
    return Add(
        f"{{apiVersion: v1, kind: Service, metadata: {{name: lb, namespace: chat}}, "
        f"spec: {{type: {kind}, selector: {{{selector}}}, ports: [{{port: 8000}}]}}}}"
    )


def test_an_open_chatbot_within_the_cluster_is_nobodys_affair() -> None:
    assert ways_in(*NO_INGRESS, service("ClusterIP", "app: chat")) == []


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort"])
@pytest.mark.parametrize("selector", ["app: chat", "ray.io/node-type: worker"])
def test_every_way_in_is_found(kind: str, selector: str) -> None:
    assert ways_in() == ["Ingress spec.rules[0].http.paths[0]"]
    assert ways_in(*NO_INGRESS, service(kind, selector)) == ["Service spec.type"]
    kuberays = Edit("service", "spec.serveService.spec", {"type": kind})
    assert ways_in(*NO_INGRESS, kuberays) == ["RayService spec.serveService.spec.type"]


def test_an_ingress_that_authenticates_may_lead_to_it() -> None:
    assert ways_in(Edit("ingress", "metadata.annotations.alb\\.ingress\\.kubernetes\\.io/auth-type", "oidc")) == []


def test_a_key_file_has_to_be_named_wherever_the_settings_may_be_read() -> None:
    worker = Edit("service", f"{WORKER_POD}.containers[0].env[9]", FILE)
    assert ways_in(worker) != []
    assert ways_in(worker, Edit("service", f"{HEAD_POD}.containers[0].env[9]", FILE)) == []


def test_of_another_application_nothing_is_known() -> None:
    assert ways_in(Edit("serve", "applications[0].import_path", "theirs:app")) == []


def test_a_policy_that_names_its_peers_closes_an_open_chatbot() -> None:
    def rules(*changes: Edit | Add) -> set[str]:
        return {f.rule for f in lint(build([*OPEN, *NO_INGRESS, *changes])).findings}

    assert "open-chatbot-without-policy" not in rules()
    assert "open-chatbot-without-policy" in rules(Edit("policy", "", GONE))
    assert "open-chatbot-without-policy" in rules(Edit("policy", "spec.podSelector.matchLabels", {"app": "another"}))
