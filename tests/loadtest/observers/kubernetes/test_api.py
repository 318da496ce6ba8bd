"""A kubeconfig that is none is said to be none."""

from __future__ import annotations

import json
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


def test_a_credential_plugin_that_fails_is_a_usage_error_and_no_load_that_nobody_watches(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "/nowhere/aws", "interactiveMode": "Never"}
    path = tmp_path / "config"
    content = {
        "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": "https://api.test"}}],
        "users": [{"name": "a", "user": {"exec": plugin}}],
    }
    path.write_text(json.dumps(content))
    with pytest.raises(
        UsageError, match=r"credential plugin of .*No such file or directory: '/nowhere/aws'\): mend it"
    ):
        connect(path)
    assert capfd.readouterr().err == ""
