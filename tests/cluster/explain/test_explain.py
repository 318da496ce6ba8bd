from datetime import datetime, timezone

from hypothesis import given, settings
from hypothesis import strategies as st

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
