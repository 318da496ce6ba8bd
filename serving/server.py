"""Serve the chatbot by uvicorn alone, without Ray: for debugging and for small machines.

SIGTERM and Ctrl-C refuse new requests, let the running answers end, and stop; a second one stops at once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from serving import setting_flags
from serving.api.auth import require_keys
from serving.assembly import Chatbot, assemble
from serving.engine.service import LONGEST_STOP_S
from serving.errors import SetupError
from serving.settings import Settings
from serving.telemetry.prometheus import PrometheusSink
from serving.telemetry.request_log import JsonFormatter

_LAST_BYTES_S = 10  # for clients to read the end of their answers
_FORCED_STOP_S = 1.0  # for the step that runs at a second signal

# Flags for what one changes most; everything else by --set.
_FLAGS = {
    "--host": ("listen.host", "address to listen on; anything but loopback needs API keys"),
    "--port": ("listen.port", "TCP port; 0 takes a free one"),
    "--model": ("model.name", "a name of `model list`, or a folder"),
    "--runner": ("runner.kind", "openvino, simulated or neuron"),
    "--slots": ("runner.slots", "sequences computed at once"),
    "--api-keys-file": ("api.api_keys_file", "one `name:sha256-hex` a line"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    setting_flags.add(parser, _FLAGS)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal. Raises SetupError for what a user can mend."""
    settings = setting_flags.settings(args, _FLAGS)
    require_keys(
        settings.listen.host, api_keys_file=settings.api.api_keys_file, trusted_network=settings.api.trusted_network
    )
    with _bound(settings.listen.host, settings.listen.port) as listener:
        _log_as_json()
        return asyncio.run(_serve(settings, listener))


async def _serve(settings: Settings, listener: socket.socket) -> int:
    sink = PrometheusSink()
    chatbot = await assemble(
        settings, replica_id=f"{socket.gethostname()}-{os.getpid()}", sink=sink, exposition=sink.exposition
    )
    config = uvicorn.Config(
        chatbot.app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=_LAST_BYTES_S
    )
    server = _Server(config)
    try:
        _stop_on_signals(server, chatbot, settings.engine.longest_answer_s)
        host, port = listener.getsockname()[:2]
        logging.getLogger(__name__).info("listening", extra={"url": f"http://{host}:{port}"})
        await server.serve(sockets=[listener])
    finally:
        await chatbot.close(drain_s=0, stop_s=_FORCED_STOP_S if server.force_exit else LONGEST_STOP_S)
    return 0


class _Server(uvicorn.Server):
    """uvicorn ends a process by its signal when it has drained; ours returns instead."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `_stop_on_signals`."""
        yield


def _stop_on_signals(server: uvicorn.Server, chatbot: Chatbot, longest_answer_s: float) -> None:
    loop = asyncio.get_running_loop()
    stopping: list[asyncio.Task[None]] = []  # holds the task; a second signal finds it

    async def drain() -> None:
        # The engine ends before uvicorn does: uvicorn waits for streams, and those of a step that hangs end by this.
        await chatbot.close(drain_s=longest_answer_s)
        server.should_exit = True

    def stop() -> None:
        if stopping:
            stopping[0].cancel()
            server.should_exit = server.force_exit = True
        else:
            stopping.append(loop.create_task(drain()))

    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop)


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, taken before the model is loaded. Raises SetupError when it cannot be had."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
    except OSError as error:
        raise SetupError(
            f"Cannot listen on {host}:{port} ({error.strerror}): stop what uses it, or choose another --port or --host."
        ) from error
    with listener:
        yield listener


def _log_as_json() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
