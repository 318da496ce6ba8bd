"""`python -m serving run --runner neuron` as a process, on the contract fake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.neuron_settings import NEURON, checkpoint

USER: Any = [{"role": "user", "content": "Hi"}]


def test_it_streams_refuses_by_name_and_drains(tmp_path: Path) -> None:
    flags = [f"--set=neuron.{name}={value}" for name, value in NEURON.items()]
    flags += ["--port=0", "--runner=neuron", f"--model={checkpoint(tmp_path / 'tiny-mistral')}", "--slots=2"]
    flags += ["--set=runner.positions=256", "--set=api.page=false"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
    command = [sys.executable, "-m", "serving", "run", *flags]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        client = openai.OpenAI(base_url=f"{_url(process)}/v1", api_key="unused", max_retries=0)
        refused: list[dict[str, Any]] = [{"logprobs": True}, {"seed": 3}]
        for fields in refused:
            with pytest.raises(openai.BadRequestError, match=f"{next(iter(fields))} is not supported"):
                client.chat.completions.create(model="tiny-mistral", messages=USER, **fields)
        stream = client.chat.completions.create(
            model="tiny-mistral", messages=USER, stream=True, max_tokens=100, extra_body={"ignore_eos": True}
        )
        chunks = [next(iter(stream))]
        process.send_signal(signal.SIGTERM)
        chunks += list(stream)
        assert chunks[-1].choices[0].finish_reason == "length"
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        entry = json.loads(line)
        if entry["message"] == "listening":
            return str(entry["url"])
    raise AssertionError(f"the server ended before it listened: {said}")
