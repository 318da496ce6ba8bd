"""`python -m serving run`, as a process of its own on loopback, asked by OpenAI's synchronous client."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from serving.cli import main

MODEL = "simulated-quick"
USER: Any = [{"role": "user", "content": "Hi"}]
LONG: Any = [{"role": "user", "content": "Hi " * 100}]  # beyond 200 positions, within 512
PROFILE = """
estimate: false
source: made up
weight_bits: 16
kv_bits: 16
kv_bytes_per_position: 0
splits_prompts: true
reads_all_slots: false
fraction_of_roofline: 1.0
decode_steps: [{slots: 8, positions: 4096, seconds: 0.01}]
prefills: [{tokens: 4096, seconds: 0.01}]
start_up: []
answer_tokens: {least: 16, most: 64}
"""


@dataclass
class _Server:
    process: subprocess.Popen[str]
    url: str

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="unused", max_retries=0)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def last_words(self) -> tuple[int, list[dict[str, Any]]]:
        """The exit code, and what the log still said."""
        _, log = self.process.communicate(timeout=30)
        return self.process.returncode, [json.loads(line) for line in log.splitlines()]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Server]:
    with _listening(tmp_path, PROFILE) as server:
        yield server


@contextlib.contextmanager
def _listening(tmp_path: Path, profile: str) -> Iterator[_Server]:
    (tmp_path / "quick.yaml").write_text(profile)
    flags = ["--port=0", "--runner=simulated", "--slots=2", "--set=runner.positions=512", "--set=api.page=false"]
    with _running(*flags, f"--set=runner.profile={tmp_path / 'quick.yaml'}") as process:
        assert process.stderr is not None
        for line in process.stderr:
            entry = json.loads(line)
            if entry["message"] == "listening":
                yield _Server(process, entry["url"])
                return
        raise AssertionError("the server ended before it listened")


@contextlib.contextmanager
def _running(*flags: str) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
    command = [sys.executable, "-m", "serving", "run", *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_answers_streams_measures_and_ends_with_its_last_answer(server: _Server) -> None:
    client = server.client
    whole = client.chat.completions.create(model=MODEL, messages=USER, temperature=0)
    stream = client.chat.completions.create(model=MODEL, messages=USER, temperature=0, stream=True)
    first = next(iter(stream))
    server.terminate()
    rest = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert first.choices[0].delta.role == "assistant"
    assert rest == whole.choices[0].message.content
    code, log = server.last_words()
    assert code == 0
    finished = [line for line in log if line["message"] == "request finished"]
    assert [line["streamed"] for line in finished] == [False, True]
    assert whole.usage is not None
    assert finished[0]["completion_tokens"] == whole.usage.completion_tokens
    assert "Hi" not in json.dumps(log)


def test_metrics_tell_what_happened_and_a_client_who_leaves_frees_the_slot(server: _Server) -> None:
    client = server.client
    for _ in range(3):  # one more than there are slots
        with client.chat.completions.create(
            model=MODEL, messages=USER, stream=True, extra_body={"ignore_eos": True, "max_tokens": 400}
        ) as stream:
            next(iter(stream))
    client.chat.completions.create(model=MODEL, messages=USER, max_tokens=3)
    wanted = {
        "chatbot_request_cancelled_total 3.0",
        'chatbot_request_success_total{finished_reason="length"} 2.0',  # the canary's, too
        "chatbot_num_slots 2.0",
    }
    limit_s = time.monotonic() + 30
    while missing := wanted - set(httpx.get(f"{server.url}/metrics").text.splitlines()):
        assert time.monotonic() < limit_s, missing  # the engine counts an ending after it has gone out


def test_a_second_signal_does_not_wait_for_answers(server: _Server) -> None:
    stream = server.client.chat.completions.create(
        model=MODEL, messages=USER, stream=True, extra_body={"ignore_eos": True, "max_tokens": 490}
    )
    next(iter(stream))
    server.terminate()
    while httpx.get(f"{server.url}/ready").status_code == 200:
        pass
    server.terminate()
    assert server.last_words()[0] == 0


def test_a_second_signal_does_not_wait_for_a_step_that_hangs(tmp_path: Path) -> None:
    costs = "{slots: 8, positions: 200, seconds: 0.01}, {slots: 8, positions: 4096, seconds: 10000}"
    profile = PROFILE.replace("{slots: 8, positions: 4096, seconds: 0.01}", costs)
    with _listening(tmp_path, profile) as server:
        stream = server.client.chat.completions.create(
            model=MODEL, messages=LONG, stream=True, extra_body={"ignore_eos": True, "max_tokens": 20}
        )
        next(iter(stream))
        server.terminate()
        while httpx.get(f"{server.url}/ready").status_code == 200:
            pass
        server.terminate()
        code, log = server.last_words()  # which waits far less than the step and the drain would last
    assert code == 0
    assert any("left behind" in line["message"] for line in log)


def test_a_busy_port_is_one_clear_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert main(["run", "--runner", "simulated", "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in error
    assert "choose another --port" in error


def test_other_addresses_need_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--runner", "simulated", "--host", "0.0.0.0"]) == 1
    assert "api_keys_file" in capsys.readouterr().err


@pytest.mark.parametrize("assignment", ["slots=4", "runner.slots", "a.b.c=1"])
def test_a_wrong_assignment_shows_how_to_write_it(assignment: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--set", assignment]) == 1
    assert "GROUP.NAME=VALUE" in capsys.readouterr().err
