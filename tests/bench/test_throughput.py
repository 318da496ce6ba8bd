from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.throughput import address

# More than a pipe holds, before and after the line that is waited for.
TALKS = """
import sys, time
for _ in range(3000): print("x" * 100, file=sys.stderr)
print('{"message": "listening", "url": "http://127.0.0.1:9"}', file=sys.stderr)
for _ in range(3000): print("x" * 100, file=sys.stderr)
open(sys.argv[1], "w").close()
"""


def test_a_server_that_logs_more_than_a_pipe_holds_goes_on(tmp_path: Path) -> None:
    log, done = tmp_path / "log", tmp_path / "done"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", TALKS + "time.sleep(60)", str(done)], stderr=output)
        try:
            assert address(process, log) == "http://127.0.0.1:9"
            while not done.exists():  # a writer that hangs would not get there, and the test's own limit ends it
                assert process.poll() is None
        finally:
            process.kill()
            process.wait()


def test_a_server_that_ends_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", "raise SystemExit('no model')"], stderr=output)
        process.wait()
    with pytest.raises(RuntimeError, match="no model"):
        address(process, log)


def test_half_a_line_is_not_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(json.dumps({"message": "listening", "url": "http://127.0.0.1:9"}))
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with pytest.raises(RuntimeError, match="did not start"):
            address(process, log, limit_s=0.3)
    finally:
        process.kill()
        process.wait()
