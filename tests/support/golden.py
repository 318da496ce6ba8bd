"""A chat server whose answers are known by construction, and which writes down what it really sent and when.

    python -m tests.support.golden --log FILE [--plan JSON]      listens on loopback, prints its port, ends on EOF of stdin

Request n does what the plan says for it (`cycle[n % len]`), so every class of failure has an exact count. Tokens are
split in the middle of characters and of events. It shares no code with the client; `golden_oracle` reads its log.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from tests.support.golden_serve import GoldenServe

PIECES = ("Hello", " wörld", " 日本", "語", " 😀", " naïve", ",", " end")  # the text of token i is PIECES[i % 8]
STATUSES = {"429": 429, "503": 503, "500": 500, "502": 502, "400": 400}


@dataclass
class Plan:
    """What the server does; every field may stand in the JSON of --plan."""

    cycle: list[str] = field(default_factory=lambda: ["ok"])
    ttft_s: float = 0.02
    itl_s: float = 0.01
    stall: tuple[float, float] | None = None  # seconds after the first request between which nothing is answered
    retry_after_s: int = 1
    split: bool = True
    key: str = ""  # where one is set, whoever does not send it gets 401
    serve: dict[str, Any] | None = None  # see golden_serve: a Serve status that scales


class Golden:
    """One server; all instants are CLOCK_MONOTONIC, which every process of a machine shares."""

    def __init__(self, plan: Plan, log: TextIO) -> None:
        self.plan = plan
        self.log = log
        self.number = 0
        self.first_s: float | None = None
        self.serve = GoldenServe(**plan.serve) if plan.serve is not None else None

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests on one connection until one of them closes it."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self.one(reader, writer):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await writer.wait_closed()

    async def one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        lengths = [line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length")]
        body = await reader.readexactly(int(lengths[0]) if lengths else 0)
        received_s = time.monotonic()
        if self.plan.key and f"authorization: bearer {self.plan.key}".lower() not in head.lower():
            return await self.plain(writer, 401, {"error": {"message": "golden wants a key"}})
        if method == "POST" and path == "/v1/chat/completions":
            return await self.chat(json.loads(body), received_s, writer)
        if path == "/v1/models":
            return await self.plain(writer, 200, {"data": [{"id": "golden"}]})
        if path.startswith("/api/serve/applications") and self.serve is not None:
            if "x-ray-authorization" not in head.lower() and "authorization: bearer" not in head.lower():
                return await self.plain(writer, 401, {"error": "no token"})
            return await self.plain(writer, 200, self.serve.document(time.monotonic()))
        return await self.plain(writer, 404, {"error": {"message": "not here"}})

    async def chat(self, request: dict[str, Any], received_s: float, writer: asyncio.StreamWriter) -> bool:
        """The chat endpoint."""
        number, self.number = self.number, self.number + 1
        if self.first_s is None:
            self.first_s = received_s
        kind = self.plan.cycle[number % len(self.plan.cycle)]
        entry: dict[str, Any] = {
            "number": number, "kind": kind, "received_s": received_s, "sent_s": [], "tokens": 0,
            "messages": request["messages"], "max_tokens": request["max_tokens"], "seed": request["seed"],
        }  # fmt: skip
        if self.serve is not None:
            self.serve.begin(received_s)
            entry["replica"] = self.serve.pick(number, received_s)
        try:
            await self.stalled()
            return await self.act(kind, request, entry, writer)
        except ConnectionError:
            entry["left"] = True  # the client went away
            raise
        finally:
            if self.serve is not None:
                self.serve.end(time.monotonic())
            self.log.write(json.dumps(entry) + "\n")
            self.log.flush()

    async def stalled(self) -> None:
        """Wait while the plan's stall lasts."""
        if self.plan.stall is not None and self.first_s is not None:
            since, until = (self.first_s + offset for offset in self.plan.stall)
            if since <= time.monotonic() < until:
                await asyncio.sleep(until - time.monotonic())

    async def act(
        self, kind: str, request: dict[str, Any], entry: dict[str, Any], writer: asyncio.StreamWriter
    ) -> bool:
        """Do what `kind` says; whether the connection stays open."""
        if kind in STATUSES:
            return await self.plain(writer, STATUSES[kind], {"error": {"message": f"golden {kind}"}})
        if kind == "reset":  # not one byte
            return False
        if kind == "silent":
            await asyncio.sleep(600)
            return False
        replica = entry.get("replica", "golden-0")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
            + f"x-request-id: golden-{entry['number']}\r\nx-replica-id: {replica}\r\n\r\n".encode()
        )
        self.chunk(writer, b": a comment, as heartbeats are\n\n")
        self.chunk(writer, event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}))
        await self.stream(kind, request, entry, writer)
        if kind == "cut":  # the connection ends in the middle of the chunked body
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return kind != "stale"  # `stale` promised keep-alive and closes

    async def stream(
        self, kind: str, request: dict[str, Any], entry: dict[str, Any], writer: asyncio.StreamWriter
    ) -> None:
        """Tokens at their instants, then the end that `kind` asks for."""
        tokens = (
            request["max_tokens"] if kind != "cut" and kind != "stream_error" else max(1, request["max_tokens"] // 2)
        )
        for i in range(tokens):
            due_s = entry["received_s"] + self.plan.ttft_s + i * self.plan.itl_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            await self.token(writer, entry, i)
        entry["tokens"] = tokens
        if kind == "stream_error":
            self.chunk(writer, event({"error": {"message": "golden broke", "type": "server_error"}}))
        elif kind != "cut":
            self.ending(kind, writer, tokens, len(json.dumps(request["messages"])) // 4)
        await writer.drain()

    def ending(self, kind: str, writer: asyncio.StreamWriter, tokens: int, prompt_tokens: int) -> None:
        """Finish reason, usage and terminator, each of which a kind of truncation lacks."""
        if kind != "no_finish":
            self.chunk(writer, event({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}))
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": tokens, "total_tokens": prompt_tokens + tokens}
        if kind != "no_usage":
            self.chunk(writer, event({"choices": [], "usage": usage}))
        if kind != "no_done":
            self.chunk(writer, b"data: [DONE]\n\n")

    async def token(self, writer: asyncio.StreamWriter, entry: dict[str, Any], i: int) -> None:
        """One token; its instant is that of the write which completes its event."""
        data = event({"choices": [{"index": 0, "delta": {"content": PIECES[i % len(PIECES)]}}]})
        if self.plan.split and i % 3 == 1:  # in the middle of a character where it has one, else of the event
            wide = next((at for at, byte in enumerate(data) if byte >= 0x80), len(data) // 2)
            self.chunk(writer, data[: wide + 1])
            await writer.drain()
            await asyncio.sleep(0.001)
            data = data[wide + 1 :]
        entry["sent_s"].append(time.monotonic())
        self.chunk(writer, data)
        await writer.drain()

    @staticmethod
    def chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
        """One HTTP chunk."""
        writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def plain(self, writer: asyncio.StreamWriter, status: int, document: dict[str, Any]) -> bool:
        """A JSON answer; 429 and 503 say when to come back."""
        body = json.dumps(document).encode()
        retry = f"Retry-After: {self.plan.retry_after_s}\r\n" if status in (429, 503) else ""
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{retry}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        return True


def event(document: dict[str, Any]) -> bytes:
    """One server-sent event, in UTF-8 and not in escapes, so that it can be split within a character."""
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


async def serve(plan: Plan, log: TextIO, port: int) -> None:
    """Listen until standard input ends."""
    server = await asyncio.start_server(Golden(plan, log).connection, "127.0.0.1", port, backlog=2048)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    server.close()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--plan", default="{}")
    parser.add_argument("--port", type=int, default=0)
    args = parser.parse_args()
    with args.log.open("w") as log:
        asyncio.run(serve(Plan(**json.loads(args.plan)), log, args.port))


if __name__ == "__main__":
    main()
