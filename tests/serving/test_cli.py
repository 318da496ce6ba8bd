import pytest

from serving.cli import build_parser, main


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "run" in text
    assert "model" in text


def test_a_users_mistake_is_one_sentence_and_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--set", "runner.slots=none"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: Wrong settings: runner.slots")
    assert error.count("\n") == 1


def test_a_command_is_needed() -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args([])
