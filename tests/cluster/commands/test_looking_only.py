"""plan, explain and permissions write nothing: what they cannot find out is exit code 2, one sentence, and no result."""

from __future__ import annotations

import pytest
from urllib3.exceptions import ProtocolError

from cluster.cli import main
from cluster.client import Api
from cluster.commands import permissions, plan
from cluster.observe import Stage
from cluster.preflight import Controller, Facts
from cluster.release import Release
from tests.cluster.test_client import ScriptedPool, api, failure
from tests.cluster.test_preflight import HEALTHY

NOBODY = [ProtocolError("Connection refused")] * 6


def release(pool: ScriptedPool, facts: Facts | None = None) -> Release:
    stage = Stage(api(pool), "test")
    return Release(stage, [], print, {}) if facts is None else Release(stage, [], print, {}, facts=lambda _: facts)


@pytest.mark.parametrize("answers", [NOBODY, [failure(401, "Unauthorized")]])
@pytest.mark.parametrize(
    "command", [["plan", "eks"], ["plan", "eks", "-o", "json"], ["permissions", "eks", "--check"], ["explain"]]
)
def test_a_cluster_that_gives_no_answer_is_exit_code_2(
    command: list[str],
    answers: list[tuple[int, object] | Exception],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pool = ScriptedPool(*answers)
    for module in (plan, permissions):
        monkeypatch.setattr(module, "open_release", lambda *_: release(pool))
    monkeypatch.setattr(Api, "connect", lambda *_: api(pool))
    assert main(command) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: The API server")


def test_the_plan_judges_the_controllers_as_its_target_finds_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rehearsal's are processes of the lab: as Deployments they are not there."""
    processes = tuple(Controller(name, "the lab", None, 1) for name in ("karpenter", "kuberay-operator"))
    for controllers, code in ((processes, 0), (processes[:1], 2)):
        facts = Facts(HEALTHY.kubernetes_minor, HEALTHY.crds, controllers)
        namespaces = {"resources": [{"kind": "Namespace", "name": "namespaces"}], "items": []}
        pool = ScriptedPool(*[(200, namespaces)] * 100)  # nothing of ours is there, and nothing is desired
        monkeypatch.setattr(plan, "open_release", lambda *_, f=facts, p=pool: release(p, f))
        assert main(["plan", "rehearsal"]) == code
    assert "KubeRay's operator does not run" in capsys.readouterr().err
