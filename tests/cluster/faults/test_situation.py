from datetime import datetime, timezone
from pathlib import Path

import yaml

from cluster.explain.snapshot import Snapshot
from cluster.faults.catalog import chosen
from cluster.faults.situation import write
from tests.cluster.explain.test_situations import HEADS, load

(FAULT,) = chosen(["device-plugin-absent"])


def snapshot(name: str) -> Snapshot:
    document = load(name)
    return Snapshot.of(datetime(2026, 11, 24, 12, tzinfo=timezone.utc), document["objects"])


def test_a_recorded_situation_says_what_it_is_and_what_explain_says_of_it(tmp_path: Path) -> None:
    path = write(tmp_path, FAULT, snapshot("no-device-plugin"))
    assert path is not None
    text = path.read_text()
    assert text.startswith(HEADS[1])
    document = yaml.safe_load(text)
    assert document["sentence"] == load("no-device-plugin")["sentence"]
    assert document["situation"] == FAULT.sentence
    assert len(document["objects"]) == len(load("no-device-plugin")["objects"])


def test_where_nothing_is_pending_nothing_is_recorded(tmp_path: Path) -> None:
    assert write(tmp_path, FAULT, snapshot("healthy")) is None
    assert list(tmp_path.iterdir()) == []
