from datetime import datetime, timedelta, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.commands.explain import as_document
from cluster.explain import explain
from cluster.explain.findings import Weight
from cluster.explain.snapshot import Snapshot
from tests.cluster.explain.test_situations import NAMES, load

NOW = datetime(2026, 11, 24, 12, tzinfo=timezone.utc)


def test_what_somebody_has_to_mend_is_told_before_what_just_takes_time() -> None:
    document = load("image-is-pulled")
    head = next(value for value in document["objects"] if value["metadata"]["name"] == "chatbot-trn1-one")
    head["status"]["containerStatuses"] = [
        {"name": "ray-worker", "state": {"waiting": {"reason": "ErrImagePull", "message": "denied"}}}
    ]
    explanation = explain(Snapshot.of(NOW, document["objects"]))
    assert [finding.weight for finding in explanation.findings] == [Weight.BROKEN, Weight.WAITING]
    assert "denied" in explanation.sentence


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(NAMES), st.data())
def test_no_object_that_is_missing_and_no_status_that_is_empty_makes_it_fail(name: str, data: st.DataObject) -> None:
    values = load(name)["objects"]
    kept = [value for value in values if data.draw(st.booleans())]
    bare = [{k: v for k, v in value.items() if k != "status" or data.draw(st.booleans())} for value in kept]
    assert explain(Snapshot.of(NOW, bare)).sentence


def test_a_name_that_is_not_there_is_told_with_those_that_are() -> None:
    snapshot = Snapshot.of(NOW, load("healthy")["objects"])
    sentence = explain(snapshot, name="chatbto").sentence
    assert sentence.startswith(
        "RayService chatbot/chatbto does not exist; in that namespace there is chatbot. Was that"
    )
    assert "deploy" not in sentence


def test_a_replica_starts_since_its_worker_runs_and_where_no_worker_tells_it_nothing_is_made_up() -> None:
    document = load("replica-loads-its-model")
    (finding,) = explain(Snapshot.of(NOW, document["objects"])).findings
    assert finding.since == NOW - timedelta(minutes=2)
    worker = next(value for value in document["objects"] if value["metadata"]["name"] == "chatbot-trn1-one")
    worker["status"]["conditions"] = [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-24T11:10:00Z"}]
    (finding,) = explain(Snapshot.of(NOW, document["objects"])).findings
    assert finding.since is None


def test_a_line_of_the_document_is_pending_where_something_below_it_is() -> None:
    snapshot = Snapshot.of(NOW, load("image-is-pulled")["objects"])
    tree = as_document(explain(snapshot), NOW)["tree"]
    assert tree["pending"]
    assert [child["pending"] for child in tree["children"][0]["children"]] == [False, False, False, True]
