import hashlib
import os
from pathlib import Path

import pytest

from serving.api.auth import KeyFile, require_keys
from serving.errors import SetupError


def _write(path: Path, *names: str) -> Path:
    path.write_text("# who: hash\n\n" + "".join(f"{n}:{hashlib.sha256(n.encode()).hexdigest()}\n" for n in names))
    return path


def test_a_key_is_known_by_its_hash(tmp_path: Path) -> None:
    keys = KeyFile(_write(tmp_path / "keys", "ann", "bob"))
    assert (keys.owner("bob"), keys.owner("eve"), keys.owner("")) == ("bob", None, None)


def test_a_changed_file_counts_without_a_restart(tmp_path: Path) -> None:
    keys = KeyFile(_write(tmp_path / "keys", "ann"))
    _write(tmp_path / "keys", "ann", "bob")
    assert keys.owner("bob") == "bob"
    _write(tmp_path / "keys", "bob")
    assert keys.owner("ann") is None


def test_a_replaced_file_of_the_same_size_counts(tmp_path: Path) -> None:
    keys = KeyFile(_write(tmp_path / "keys", "ann"))
    os.replace(_write(tmp_path / "new", "bob"), tmp_path / "keys")
    assert (keys.owner("ann"), keys.owner("bob")) == (None, "bob")


@pytest.mark.parametrize("damage", [b"nonsense", b"\xff"])
def test_while_the_file_is_wrong_the_keys_before_stay_good(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    keys = KeyFile(_write(tmp_path / "keys", "ann"))
    (tmp_path / "keys").write_bytes(damage)
    assert [keys.owner("ann"), keys.owner("ann")] == ["ann", "ann"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    _write(tmp_path / "keys", "bob")
    assert keys.owner("bob") == "bob"


def test_while_the_file_is_missing_the_keys_before_stay_good(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keys = KeyFile(_write(tmp_path / "keys", "ann"))
    (tmp_path / "keys").unlink()
    assert [keys.owner("ann"), keys.owner("ann")] == ["ann", "ann"]
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    _write(tmp_path / "keys", "bob")
    assert (keys.owner("ann"), keys.owner("bob")) == (None, "bob")


@pytest.mark.parametrize("names", [[], ["bob"]])
def test_a_key_that_was_taken_out_is_no_longer_good_even_when_it_was_the_last(tmp_path: Path, names: list[str]) -> None:
    keys = KeyFile(_write(tmp_path / "keys", "ann"))
    _write(tmp_path / "keys", *names)
    assert keys.owner("ann") is None


def test_while_a_key_is_replaced_both_of_one_name_are_good(tmp_path: Path) -> None:
    lines = [f"ann:{hashlib.sha256(key).hexdigest()}\n" for key in (b"old", b"new")]
    (tmp_path / "keys").write_text("".join(lines))
    keys = KeyFile(tmp_path / "keys")
    assert (keys.owner("old"), keys.owner("new")) == ("ann", "ann")


@pytest.mark.parametrize("content", ["ann:123", "ann", "ann:" + "g" * 64, "", "# none"])
def test_a_wrong_file_at_the_start_is_a_set_up_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys").write_text(content)
    with pytest.raises(SetupError, match="name:sha256-hex"):
        KeyFile(tmp_path / "keys")


def test_a_missing_file_at_the_start_is_a_set_up_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        KeyFile(tmp_path / "keys")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    require_keys(host, api_keys_file=None, trusted_network=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.test", "127.1", "None"])
def test_any_other_address_needs_keys_or_somebodys_word_for_its_network(host: str, tmp_path: Path) -> None:
    require_keys(host, api_keys_file=tmp_path / "keys", trusted_network=False)
    require_keys(host, api_keys_file=None, trusted_network=True)
    with pytest.raises(SetupError, match=r"api_keys_file, .* api\.trusted_network"):
        require_keys(host, api_keys_file=None, trusted_network=False)
