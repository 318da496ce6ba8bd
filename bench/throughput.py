"""Tokens a second through HTTP, streamed, in a closed loop: 57 tokens in, 128 out, all prompts different, greedy.

`python -m serving run` in a process of its own with 32 slots and the default precision; the client shares the machine. The
peers' figures are from another machine (an AMX Xeon with two cores), so their ratio is a guide and not a measurement.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench import light_client
from serving.chat.prompt import PromptEncoder, load_tokenizer
from serving.chat.template import ChatTemplate
from serving.engine.runners.openvino import OpenVinoRunner, Precision
from serving.model.folder import ModelFolder
from serving.model.prepare import find
from serving.settings import Settings

STREAMS = (1, 4, 16, 32)
PROMPT_TOKENS, ANSWER_TOKENS = 57, 128
SLOTS = 32
POSITIONS = 512
REQUESTS_A_STREAM = 2
PEERS_TOK_S = {1: 68, 4: 156, 16: 498, 32: 774}  # llama.cpp bf16 at 1, vLLM-CPU bf16 at the others; another machine
STARTS_S = 120.0


def rows() -> list[Mapping[str, object]]:
    """One row for each number of streams."""
    settings = Settings()
    folder = find(settings.model)
    prompts = _prompts(folder)
    kv_bits = _kv_bits(folder, settings.runner.precision)
    with _server() as url:
        health = asyncio.run(_streams(url, folder.model_id, 1, prompts))  # the first answer warms up
        if not health:
            raise RuntimeError("the server gave no tokens")
        facts = {"precision": settings.runner.precision, "weight_bits": folder.weight_bits, "kv_bits": kv_bits}
        return [_row(url, folder.model_id, streams, prompts) | facts for streams in STREAMS]


def _row(url: str, model: str, streams: int, prompts: Iterator[str]) -> dict[str, object]:
    began_s = time.perf_counter()
    answers = asyncio.run(_streams(url, model, streams, prompts))
    took_s = time.perf_counter() - began_s
    tok_s = sum(tokens for tokens, _ in answers) / took_s
    return {
        "streams": streams,
        "requests": len(answers),
        "tok_s": tok_s,
        "ttft_p50_ms": statistics.median(first_s for _, first_s in answers) * 1e3,
        "peer_tok_s_on_amx": PEERS_TOK_S[streams],
        "ratio_to_peer": tok_s / PEERS_TOK_S[streams],
    }


def _kv_bits(folder: ModelFolder, precision: Precision) -> int:
    """What the runner says of its cache on this machine; the server's has more slots and is otherwise the same."""
    runner = OpenVinoRunner(folder, slots=1, positions=POSITIONS, precision=precision)
    try:
        return runner.spec.kv_bits
    finally:
        runner.close()


def _prompts(folder: ModelFolder) -> Iterator[str]:
    """Different words each time, as many as make PROMPT_TOKENS with the chat template around them."""
    template = ChatTemplate(folder.chat_template, bos_token=folder.bos_token, eos_token=folder.eos_token)
    encoder = PromptEncoder(load_tokenizer(folder.tokenizer_json), template, bos_token=folder.bos_token)
    rng = random.Random(0)  # noqa: S311 - prompts, not secrets
    words = ["tree", "river", "stone", "cloud", "bread", "house", "light", "music", "paper", "table"]
    while True:
        text = ""
        while len(encoder.chat([{"role": "user", "content": text}])) < PROMPT_TOKENS:
            text += " " + rng.choice(words)
        yield text


async def _streams(url: str, model: str, streams: int, prompts: Iterator[str]) -> list[tuple[int, float]]:
    """(tokens, seconds to the first) of every answer."""
    work = [[next(prompts) for _ in range(REQUESTS_A_STREAM)] for _ in range(streams)]
    done = await asyncio.gather(*(_user(url, model, texts) for texts in work))
    return [answer for answers in done for answer in answers]


async def _user(url: str, model: str, texts: list[str]) -> list[tuple[int, float]]:
    return [await _answer(url, model, text) for text in texts]


async def _answer(url: str, model: str, text: str) -> tuple[int, float]:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": ANSWER_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or 80
    received, first_s = await light_client.post(host, port, "/v1/chat/completions", json.dumps(body).encode())
    counted = re.search(rb'"prompt_tokens":(\d+),"completion_tokens":(\d+)', received)
    if counted is None or (int(counted[1]), int(counted[2])) != (PROMPT_TOKENS, ANSWER_TOKENS):
        raise RuntimeError(f"not {PROMPT_TOKENS} tokens in and {ANSWER_TOKENS} out: {received[-300:]!r}")
    return ANSWER_TOKENS, first_s


@contextmanager
def _server() -> Iterator[str]:
    """The chatbot under uvicorn on a free port; its first log lines say which."""
    command = [sys.executable, "-m", "serving", "run", "--port", "0", "--slots", str(SLOTS)]
    command += ["--set", f"runner.positions={POSITIONS}", "--set", "api.page=false"]
    with tempfile.NamedTemporaryFile(
        prefix="chatbot-bench-", suffix=".log"
    ) as log:  # a pipe that nobody reads fills up
        process = subprocess.Popen(command, stderr=log)
        try:
            yield address(process, Path(log.name))
        finally:
            process.terminate()
            process.wait(timeout=60)


def address(process: subprocess.Popen[bytes], log: Path, *, limit_s: float = STARTS_S) -> str:
    """The URL in the server's log, once it stands there. Raises RuntimeError with the log's end when it never does."""
    deadline_s = time.monotonic() + limit_s
    while process.poll() is None and time.monotonic() < deadline_s:
        for line in log.read_text(encoding="utf-8").splitlines(keepends=True):
            if '"listening"' in line and line.endswith("\n"):
                return str(json.loads(line)["url"])
        time.sleep(0.1)
    raise RuntimeError(f"the server did not start: {log.read_text(encoding='utf-8')[-1000:]}")
