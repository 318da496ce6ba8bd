import io
import json

import pytest

from serving.cli import main


def show(monkeypatch: pytest.MonkeyPatch, document: str, *flags: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(document))
    return main(["settings", *flags])


def test_what_the_config_says_stands_over_the_environment_and_that_over_the_defaults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHATBOT_RUNNER__SLOTS", "5")
    monkeypatch.setenv("CHATBOT_RUNNER__KIND", "simulated")
    assert show(monkeypatch, '{"runner": {"slots": 3}}', "--args", "-", "-o", "json") == 0
    runner = json.loads(capsys.readouterr().out)["runner"]
    assert (runner["slots"], runner["kind"]) == (3, "simulated")


def test_without_args_nothing_is_read_and_the_view_is_for_people(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(monkeypatch, "not read") == 0
    assert "runner:\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("document", "error"),
    [
        ('{"runner": {"kind": "quantum"}}', "error: Wrong settings: runner.kind"),
        ('{"runner": {"nope": 1}}', "error: Wrong settings: runner.nope"),
        ("{", "error: What stands on standard input is not JSON"),
        ("[]", "error: What stands on standard input is not a JSON object"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], document: str, error: str
) -> None:
    assert show(monkeypatch, document, "--args", "-") == 1
    said = capsys.readouterr().err
    assert said.startswith(error)
    assert said.count("\n") == 1
