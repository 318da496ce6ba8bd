"""A kubeconfig that is none is said to be none."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.errors import UsageError
from loadtest.observers.kubernetes.api import connect


@pytest.mark.parametrize("content", [b"a: [", b"3", b"- 1", b"\xff\xfe", b"clusters: 3\n"])
def test_a_file_that_is_no_kubeconfig_is_a_usage_error_of_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config"
    path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        connect(path)
    said = str(raised.value)
    assert said.startswith(f"{path} is not a kubeconfig (")
    assert said.endswith("): give one (--kubeconfig)")
    assert "\n" not in said


def test_a_kubeconfig_that_is_missing_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot use the kubeconfig"):
        connect(tmp_path / "none")
