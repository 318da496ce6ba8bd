"""What is fetched is what was compiled, whatever befalls the wire, the disk or a neighbour."""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from serving.artifacts import manifest, store, transfer
from serving.artifacts.manifest import GRAPHS, NAME
from serving.artifacts.store import Store
from serving.artifacts.transfer import damaged, pull, push
from serving.errors import SetupError
from tests.serving.artifacts.conftest import LARGE_BYTES, bucket_url
from tests.support.s3_server import Wire

ALL = [f"{GRAPHS}/{name}.neff" for name in ("a", "b", "large")]


def _same(a: Path, b: Path) -> bool:
    return all((a / path).read_bytes() == (b / path).read_bytes() for path in [*ALL, NAME])


def test_what_was_pushed_is_what_is_pulled_and_a_second_time_nothing_moves(
    made: Path, store_url: str, tmp_path: Path
) -> None:
    there = Store(store_url)
    assert there.manifest() is None
    assert sorted(push(made, there, workers=3).moved) == ALL
    assert sorted(push(made, there, workers=3).kept) == ALL
    assert sorted(pull(there, tmp_path / "node", workers=3).moved) == ALL
    assert _same(made, tmp_path / "node")
    assert sorted(pull(there, tmp_path / "node", workers=3).kept) == ALL


def test_a_flipped_byte_is_found_and_only_that_file_is_fetched_again(
    made: Path, store_url: str, tmp_path: Path
) -> None:
    there, node = Store(store_url), tmp_path / "node"
    push(made, there, workers=3)
    pull(there, node, workers=3)
    content = bytearray((node / ALL[2]).read_bytes())
    content[LARGE_BYTES // 2] ^= 1
    (node / ALL[2]).write_bytes(content)
    assert damaged(node, manifest.read(node), workers=2) == [ALL[2]]
    done = pull(there, node, workers=3)
    assert (done.moved, sorted(done.kept)) == ([ALL[2]], ALL[:2])
    assert _same(made, node)


def test_a_flipped_byte_in_the_store_is_never_taken_and_pushing_again_mends_it(
    made: Path, store_url: str, tmp_path: Path
) -> None:
    there = Store(store_url)
    push(made, there, workers=3)
    there.put(ALL[0], bytes(1000))
    with pytest.raises(SetupError, match=r"graphs/a\.neff is not what its manifest says"):
        pull(there, tmp_path / "node", workers=3)
    assert not (tmp_path / "node" / ALL[0]).exists()
    assert not (tmp_path / "node" / NAME).exists()
    done = push(made, there, workers=3)
    assert (done.moved, sorted(done.kept)) == (ALL[:1], ALL[1:])
    pull(there, tmp_path / "node", workers=3)
    assert _same(made, tmp_path / "node")


def test_artifacts_that_changed_since_they_were_compiled_are_not_pushed(made: Path, tmp_path: Path) -> None:
    (made / ALL[1]).write_bytes(b"other")
    there = Store(str(tmp_path / "store"))
    with pytest.raises(SetupError, match=r"graphs/b\.neff changed since they were compiled"):
        push(made, there, workers=3)
    assert there.manifest() is None


def test_cut_connections_are_asked_again_and_the_rest_arrives(
    made: Path, wire: Wire, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    there = Store(bucket_url(request.node.name))
    push(made, there, workers=3)
    wire.cut_after_bytes[:] = [200_000, 1_000_000]
    pull(there, tmp_path / "node", workers=1)
    assert wire.cut_after_bytes == []
    assert _same(made, tmp_path / "node")


def test_an_interrupted_fetch_goes_on_where_it_ended(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PART_BYTES", 1_000_000)
    there, node = Store(str(tmp_path / "store")), tmp_path / "node"
    push(made, there, workers=3)
    parts, asked = Store.parts, list[int]()

    def cut(self: Store, entry: manifest.Entry, *, start: int):  # type: ignore[no-untyped-def] # a generator
        asked.append(start)
        for i, block in enumerate(parts(self, entry, start=start)):
            if i == 2 and len(asked) == 3:
                raise SetupError("the wire was cut")
            yield block

    monkeypatch.setattr(Store, "parts", cut)
    with pytest.raises(SetupError, match="cut"):
        pull(there, node, workers=1)
    pull(there, node, workers=1)
    assert asked == [0, 0, 0, 2_000_000]
    assert _same(made, node)


def test_two_replicas_at_once_fetch_each_file_once(
    made: Path, wire: Wire, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = bucket_url(request.node.name)
    push(made, Store(url), workers=3)
    wire.requests.clear()
    command = [sys.executable, "-m", "serving", "artifacts", "pull", url, str(tmp_path / "node")]
    replicas = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = sorted(replica.communicate(timeout=60)[0].split(": ")[-1].strip() for replica in replicas)
    assert said == ["0 files fetched, 3 intact", "3 files fetched, 0 intact"]
    assert [wire.gets(path) for path in ALL] == [1, 1, 1]
    assert _same(made, tmp_path / "node")


def _cut_before(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wire is cut when `path` is to be sent, once."""
    put = Store.put

    def cut(self: Store, name: str, content: Path | bytes) -> None:
        if name == path:
            monkeypatch.setattr(Store, "put", put)
            raise SetupError("the wire was cut")
        put(self, name, content)

    monkeypatch.setattr(Store, "put", cut)


def test_an_interrupted_push_goes_on_with_what_is_not_there(
    made: Path, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Store(store_url)
    _cut_before(ALL[2], monkeypatch)
    with pytest.raises(SetupError, match="cut"):
        push(made, there, workers=1)
    assert there.manifest() is None
    done = push(made, there, workers=1)
    assert (done.moved, done.kept) == (ALL[2:], ALL[:2])
    pull(there, tmp_path / "node", workers=3)
    assert _same(made, tmp_path / "node")


def _others(made: Path, folder: Path) -> Path:
    """Artifacts whose first file has another content of the same size."""
    shutil.copytree(made, folder)
    (folder / ALL[0]).write_bytes(bytes(1000))
    (folder / NAME).write_bytes(manifest.describe(folder, {"slots": "16"}).encode())
    return folder


def test_while_others_take_their_place_artifacts_are_absent_and_never_a_mixture(
    made: Path, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, others = Store(store_url), _others(made, tmp_path / "others")
    push(made, there, workers=1)
    _cut_before(NAME, monkeypatch)
    with pytest.raises(SetupError, match="cut"):
        push(others, there, workers=1)
    with pytest.raises(SetupError, match="holds no compiled graphs"):
        pull(there, tmp_path / "node", workers=1)
    assert push(others, there, workers=1).moved == []
    pull(there, tmp_path / "node", workers=3)
    assert _same(others, tmp_path / "node")


def test_two_pushes_at_once_leave_what_both_pushed(made: Path, store_url: str, tmp_path: Path) -> None:
    there = Store(store_url)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(push, made, Store(store_url), workers=2) for _ in range(2)]
        for one in both:
            done = one.result()
            assert sorted(done.moved + done.kept) == ALL
    pull(there, tmp_path / "node", workers=3)
    assert _same(made, tmp_path / "node")


def test_a_manifest_that_cannot_be_read_is_mended_by_pushing_again(made: Path, tmp_path: Path) -> None:
    there = Store(str(tmp_path / "store"))
    push(made, there, workers=1)
    there.put(NAME, b"cut sho")
    with pytest.raises(SetupError, match="push the artifacts again"):
        pull(there, tmp_path / "node", workers=1)
    push(made, there, workers=1)
    assert sorted(pull(there, tmp_path / "node", workers=1).moved) == ALL


def test_a_push_that_ended_early_leaves_nothing_that_a_start_would_take(made: Path, tmp_path: Path) -> None:
    there = Store(str(tmp_path / "store"))
    there.put(ALL[0], made / ALL[0])
    with pytest.raises(SetupError, match="holds no compiled graphs"):
        pull(there, tmp_path / "node", workers=1)
    push(made, there, workers=1)
    assert pull(there, tmp_path / "node", workers=1).moved


def test_a_file_that_the_store_lost_is_named(made: Path, store_url: str, tmp_path: Path) -> None:
    there = Store(store_url)
    push(made, there, workers=1)
    listed = manifest.read(made)
    there.put(NAME, manifest.Manifest(listed.inputs, (*listed.files, manifest.Entry("graphs/c.neff", 9, "0"))).encode())
    with pytest.raises(SetupError, match=r"lacks graphs/c\.neff"):
        pull(there, tmp_path / "node", workers=1)


def test_progress_ends_at_the_sum_of_all_files(made: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    def progress(stage: str, done: int, total: int) -> None:
        seen.append((stage, done, total))

    there = Store(str(tmp_path / "store"))
    push(made, there, workers=3, progress=progress)
    pull(there, tmp_path / "node", workers=3, progress=progress)
    total = LARGE_BYTES + 3000
    ends = {stage: done for stage, done, _ in seen}
    assert ends == {"checking": total, "comparing": total, "pushing": total, "fetching": total}
    assert {whole for _, _, whole in seen} == {total}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{}", "is not a manifest of compiled graphs"),
        (b'{"schema": "other/v2"}', "its schema is other/v2"),
        (b"not json", "is not a manifest"),
        (
            b'{"schema": "chatbot.neuron-artifacts/v1", "inputs": {}, "files": [{"path": "../x", "bytes": 1, "sha256": "0"}]}',
            r"names '\.\./x', which lies outside",
        ),
    ],
)
def test_what_is_no_manifest_of_ours_is_refused(content: bytes, sentence: str, tmp_path: Path) -> None:
    there = Store(str(tmp_path / "store"))
    there.put(NAME, content)
    with pytest.raises(SetupError, match=sentence):
        transfer.pull(there, tmp_path / "node", workers=1)


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(SetupError, match="a folder or under s3://bucket/prefix"):
        Store("gs://bucket")
