from __future__ import annotations

import json

from cluster.objects import Key
from cluster.plan import Action, Change, Conflict, FieldChange, Plan
from cluster.plan_text import plan_document, plan_lines
from cluster.upgrade import Nodes, Upgrade, Verdict

CHANGE = Change(
    Key("ray.io", "RayService", "chatbot", "chatbot"),
    Action.CHANGE,
    "1 field differs",
    (FieldChange("spec.rayClusterConfig.rayVersion", "2.60.0", "2.61.0"),),
    (Conflict("spec.serveConfigV2", "their-tool"),),
    Upgrade(Verdict.NEW_CLUSTER, ("spec.rayClusterConfig.rayVersion",), (Nodes(3, "trn1.2xlarge", "t", 4.03125),)),
    adopted=True,
)
KEPT = Change(Key("", "Namespace", "", "chatbot"), Action.KEEP, "nothing differs")


def test_a_plan_says_what_happens_why_and_what_it_costs_meanwhile() -> None:
    assert list(plan_lines(Plan((KEPT, CHANGE)))) == [
        "~ change RayService chatbot/chatbot: 1 field differs",
        "    somebody else made it: deploy changes it, destroy leaves it",
        '    spec.rayClusterConfig.rayVersion: "2.60.0" -> "2.61.0"',
        "    spec.serveConfigV2 is managed by their-tool: refused without --force-conflicts",
        "    new cluster: a second one is made beside the running one, which goes when the new one answers",
        "    because of spec.rayClusterConfig.rayVersion",
        "    meanwhile 3 more nodes of trn1.2xlarge, $4.03/h",
        "1 to change; 1 as they should be",
    ]


def test_no_change_is_said_so() -> None:
    assert list(plan_lines(Plan((KEPT,)))) == ["No change; 1 as they should be"]


def test_a_long_value_is_cut_and_many_fields_are_counted() -> None:
    fields = tuple(FieldChange(f"data.f{i}", None, "x" * 200) for i in range(20))
    lines = list(plan_lines(Plan((Change(KEPT.key, Action.CHANGE, "20 fields differ", fields),))))
    assert max(map(len, lines)) < 120
    assert "    and 8 more fields" in lines


def test_the_document_is_json_with_its_schema() -> None:
    document = json.loads(json.dumps(plan_document(Plan((CHANGE,)), "eks")))
    assert document["schema"] == "chatbot.plan/v1"
    (change,) = document["changes"]
    assert change["object"] == {"kind": "RayService", "namespace": "chatbot", "name": "chatbot"}
    assert change["upgrade"]["verdict"] == "new-cluster"
    assert change["upgrade"]["extra_nodes"][0]["usd_per_hour"] == 4.03125
