"""The command line as a user meets it: real processes against the golden server, exit codes as promised."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtest.arrivals import schedule
from tests.support import child, golden_oracle
from tests.support.golden_process import GoldenProcess, golden
from tests.support.load_profiles import profile

pytestmark = pytest.mark.slow  # each test is a process or three

ROOT = Path(__file__).parents[2]
QUICK_SERVE = {"up_s": 1.0, "start_s": 0.5, "ready_s": 0.5, "down_s": 0.5, "drain_s": 0.5}
# For what is done to a run before it ends.
LONGER = [{"name": "only", "duration_s": 6, "rate": {"shape": "constant", "per_s": 5}}]


def write(tmp_path: Path, **fields: Any) -> Path:
    """A profile of two seconds at five requests a second, changed by `fields`; lenient, for a busy machine."""
    document: dict[str, Any] = {
        "name": "quick", "description": "Of a test.", "seed": 1, "loop": "open", "process": "even",
        "stages": [{"name": "only", "duration_s": 2, "rate": {"shape": "constant", "per_s": 5}}],
        "prompts": {"words": 5, "answer_tokens": 6}, "sending": {"timeout_s": 10},
        "client_limits": {"schedule_lag_p99_s": 5, "loop_lag_p99_s": 5, "cpu_share_p95": 1},
    } | fields  # fmt: skip
    path = tmp_path / "quick.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def start(*arguments: str | Path, tmp_path: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
    return child.start(
        [sys.executable, "-m", "loadtest", *map(str, arguments)],
        cwd=ROOT,
        environment=environment | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
    )


def command(*arguments: str | Path, tmp_path: Path) -> tuple[int, str, str]:
    return child.finish(start(*arguments, tmp_path=tmp_path))


def run(server: GoldenProcess, profile: Path, tmp_path: Path, *more: str) -> tuple[int, dict[str, Any]]:
    code, out, err = command(
        "run",
        profile,
        "--base-url",
        server.url,
        "--reports",
        tmp_path / "reports",
        "-o",
        "json",
        *more,
        tmp_path=tmp_path,
    )
    assert out, err
    return code, json.loads(out)


def verify(server: GoldenProcess, profile: Path, tmp_path: Path) -> tuple[int, dict[str, Any]]:
    token = tmp_path / "token"
    token.write_text("secret\n")
    code, out, err = command(
        "verify", profile, "--base-url", server.url, "--dashboard-url", server.url, "--dashboard-token-file", token,
        "--reports", tmp_path / "reports", "-o", "json", tmp_path=tmp_path,
    )  # fmt: skip
    assert out, err
    return code, json.loads(out)


def closed(tmp_path: Path, **fields: Any) -> Path:
    stages = [{"name": "loaded", "duration_s": 5, "users": 4}]
    scaling = {"settle_s": 5, "scale_in_s": 4}
    return write(tmp_path, loop="closed", stages=stages, scaling=scaling, **fields)


def test_a_run_that_keeps_its_promises_ends_with_0_and_leaves_a_report(tmp_path: Path) -> None:
    with golden(tmp_path) as server:
        code, document = run(server, write(tmp_path), tmp_path)
    assert (code, document["verdict"]) == (0, "pass")
    (folder,) = (tmp_path / "reports").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.json", "requests.csv"]
    assert document["traffic"]["total"]["tokens"]["completion"] == sum(truth.tokens for truth in server.truths()) == 60


def test_failures_are_counted_as_the_server_made_them_and_a_missed_slo_ends_with_1(tmp_path: Path) -> None:
    with golden(
        tmp_path, cycle=["ok", "429", "503", "500", "cut", "no_done", "stream_error", "reset", "ok", "ok"]
    ) as server:
        code, document = run(server, write(tmp_path, sending={"timeout_s": 10, "reuse_connections": False}), tmp_path)
    assert (code, document["verdict"]) == (1, "slo-failed")
    counted = {name: count for name, count in document["traffic"]["total"]["outcomes"].items() if count}
    assert counted == golden_oracle.outcomes(server.truths())


def test_a_cluster_that_scales_out_and_in_is_verified_with_0(tmp_path: Path) -> None:
    with golden(tmp_path, serve=QUICK_SERVE) as server:
        code, document = verify(server, closed(tmp_path), tmp_path)
    assert (code, document["verdict"], document["broken_link"]) == (0, "pass", None)
    assert document["replicas"]["expected"] == document["replicas"]["observed"] == 2
    reached = [stage["name"] for stage in document["scale_in"][0]["stages"] if stage["status"] == "reached"]
    assert reached == ["load-removed", "serve-target-lowered", "replica-drained"]


@pytest.mark.parametrize("link", ["serve-target-raised", "replica-started", "replica-running", "serve-target-lowered"])
def test_a_broken_link_ends_with_2_and_is_named(tmp_path: Path, link: str) -> None:
    with golden(tmp_path, serve=QUICK_SERVE | {"broken": link}) as server:
        code, document = verify(server, closed(tmp_path), tmp_path)
    assert (code, document["verdict"]) == (2, "autoscaling-failed")
    assert document["broken_link"]["stage"] == link


def watch(tmp_path: Path, *arguments: str, timeout_s: int = 6) -> tuple[int, dict[str, Any]]:
    token = tmp_path / "token"
    token.write_text("secret\n")
    code, out, err = command(
        "watch", "--timeout", str(timeout_s), "--dashboard-token-file", token, "--reports", tmp_path / "reports", "-o", "json",
        *arguments, tmp_path=tmp_path,
    )  # fmt: skip
    assert out, err
    return code, json.loads(out)


def test_a_deployment_is_watched_until_its_first_replica_has_answered_one_question(tmp_path: Path) -> None:
    with golden(tmp_path, serve=QUICK_SERVE) as server:
        code, document = watch(tmp_path, "--base-url", server.url, "--dashboard-url", server.url)
    asked = len(server.truths())  # when the server has ended: it writes a question down after it has answered
    assert (code, document["verdict"], document["mode"], asked) == (0, "pass", "watch", 1)
    reached = [stage["name"] for stage in document["scale_out"][0]["stages"] if stage["status"] == "reached"]
    assert reached == ["load-applied", "serve-target-raised", "replica-started", "replica-running", "first-token"]
    assert document["sentence"].startswith("The first replica answered ")
    assert (next((tmp_path / "reports").iterdir()) / "report.html").is_file()


def test_a_replica_that_runs_where_no_client_gets_to_it_breaks_first_token_with_2(tmp_path: Path) -> None:
    with golden(tmp_path, serve=QUICK_SERVE) as server:
        addresses = ("--base-url", "http://127.0.0.1:9", "--dashboard-url", server.url)
        code, document = watch(tmp_path, *addresses, timeout_s=12)  # until then the replica has to run
    assert (code, document["broken_link"]["stage"]) == (2, "first-token")
    assert "no chatbot answers" in " ".join(document["broken_link"]["evidence"])


def test_a_watch_that_sees_nothing_is_void_with_3(tmp_path: Path) -> None:
    code, document = watch(tmp_path, "--dashboard-url", "http://127.0.0.1:9")
    assert (code, document["verdict"]) == (3, "void")
    assert "none of the observers sees it" in document["sentence"]


def test_an_absent_target_ends_with_3_and_one_sentence(tmp_path: Path) -> None:
    code, _, err = command("run", write(tmp_path), "--base-url", "http://127.0.0.1:9", tmp_path=tmp_path)
    assert code == 3
    assert err.startswith("error: no chatbot answers at http://127.0.0.1:9/v1/models")
    assert err.count("\n") == 1


def test_a_client_that_was_stopped_for_a_while_voids_its_run_with_3(tmp_path: Path) -> None:
    limits = {"schedule_lag_p99_s": 0.5, "loop_lag_p99_s": 5, "cpu_share_p95": 1}
    with golden(tmp_path) as server:
        process = start(
            "run", write(tmp_path, client_limits=limits, stages=LONGER), "--base-url", server.url, "--reports", tmp_path / "reports", "-o", "json",
            tmp_path=tmp_path,
        )  # fmt: skip
        _await_requests(server, 3)
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.2)
        process.send_signal(signal.SIGCONT)
        code, out, _ = child.finish(process)
    assert code == 3
    assert json.loads(out)["void_reasons"][0].startswith("client saturated: p99 of the schedule lag")


def test_an_interrupt_ends_the_run_cleanly_with_a_report_that_says_partial(tmp_path: Path) -> None:
    long = write(tmp_path, stages=[{"name": "only", "duration_s": 60, "rate": {"shape": "constant", "per_s": 5}}])
    with golden(tmp_path) as server:
        process = start(
            "run", long, "--base-url", server.url, "--reports", tmp_path / "reports", "-o", "json", tmp_path=tmp_path
        )
        _await_requests(server, 4)
        process.send_signal(signal.SIGINT)
        code, out, err = child.finish(process)
    document = json.loads(out)
    assert code == 3
    assert document["partial"]
    assert document["verdict"] == "void"
    assert "interrupted" in document["void_reasons"][0]
    assert document["traffic"]["total"]["outcomes"]["ok"] == document["traffic"]["total"]["started"] >= 4
    assert "Traceback" not in err


def test_a_report_that_cannot_be_written_any_more_is_still_printed(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    with golden(tmp_path) as server:
        process = start(
            "run", write(tmp_path, stages=LONGER), "--base-url", server.url, "--reports", reports, "-o", "json",
            tmp_path=tmp_path,
        )  # fmt: skip
        _await_requests(server, 1)
        reports.rmdir()
        reports.touch()
        code, out, err = child.finish(process)
    assert (code, json.loads(out)["verdict"]) == (0, "pass")
    assert f"error: the report could not be written whole to {reports} (Not a directory)" in err
    assert "Traceback" not in err


def test_a_run_that_nobody_reads_any_more_is_still_written(tmp_path: Path) -> None:
    with golden(tmp_path) as server:
        process = start(
            "run", write(tmp_path), "--base-url", server.url, "--reports", tmp_path / "reports", tmp_path=tmp_path
        )
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        code, _, err = child.finish(process)
    assert code == 141
    assert "Traceback" not in err
    (folder,) = (tmp_path / "reports").iterdir()
    assert json.loads((folder / "report.json").read_text())["verdict"] == "pass"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "nowhere"), "error: no profile nowhere: give a YAML file or one of"),
        (("run",), "error: the following arguments are required: profile"),
        (("fly",), "error: argument COMMAND: invalid choice: 'fly'"),
        (("verify", "smoke", "--base-url", "http://127.0.0.1:9"), "error: verify has nobody to watch the replicas"),
        (("watch", "--target", "eks"), "error: watch has nobody to watch with: give --kubeconfig"),
        (
            ("watch", "--timeout", "soon"),
            "error: argument --timeout: soon is not a time to wait: give seconds, at most",
        ),
        (("watch", "--timeout", "inf"), "error: argument --timeout: inf is not a time to wait: give seconds, at most"),
        (("watch", "--kubeconfig", "nowhere"), "error: cannot use the kubeconfig nowhere"),
        (("run", "smoke", "--expect-workers", "-1"), "error: argument --expect-workers: -1 is not a number of workers"),
        (("run", "smoke", "--reports", "README.md"), "error: cannot write to README.md (File exists): give a folder"),
        (
            ("watch", "--dashboard-url", "http://127.0.0.1:9", "--reports", "README.md"),
            "error: cannot write to README.md (File exists): give a folder",
        ),
        (("run", "smoke", "--base-url", "http://[::1"), "error: http://[::1: give the chatbot's address as"),
        (("run", "smoke", "--base-url", "ftp://x"), "error: ftp://x: give the chatbot's address as http://HOST:PORT"),
        (("run", "smoke", "--base-url", "notaurl"), "error: notaurl: give the chatbot's address as http://HOST:PORT"),
        (("run", "smoke", "--target", "mars"), "error: target mars has no known address: deploy it first (python -m"),
        (("report", "nowhere"), "error: cannot read nowhere (No such file or directory): give the folder that run,"),
        (("report", "docs"), "error: cannot read docs/report.json (No such file or directory): give the folder"),
        (("report", "README.md"), "error: cannot read README.md, which is no JSON (Expecting value"),
    ],
)
def test_a_users_mistake_ends_with_64_and_a_sentence(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    code, _, err = command(*arguments, tmp_path=tmp_path)
    assert code == 64
    assert err.startswith(said)
    assert "Traceback" not in err


def test_a_run_is_shown_again_and_compared_with_another(tmp_path: Path) -> None:
    with golden(tmp_path) as server:
        run(server, write(tmp_path), tmp_path)
        run(server, write(tmp_path), tmp_path)
    one, other = sorted((tmp_path / "reports").iterdir())
    (one / "report.html").unlink()
    code, out, _ = command("report", one, tmp_path=tmp_path)
    assert code == 0
    assert (one / "report.html").is_file()
    assert "PASS" in out
    code, out, _ = command("compare", one, other, "-o", "json", tmp_path=tmp_path)
    assert code == 0
    assert json.loads(out)["schema"] == "chatbot.comparison/v1"


def test_the_same_seed_sends_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    asked = []
    for number, seed in enumerate(("1", "1", "2")):
        folder = tmp_path / str(number)
        folder.mkdir()
        with golden(folder) as server:
            run(server, write(folder), folder, "--seed", seed)
        rows = [json.loads(line) for line in server.log.read_text().splitlines()]
        asked.append(Counter(json.dumps([row["messages"], row["max_tokens"], row["seed"]]) for row in rows))
    assert asked[0] == asked[1]
    assert asked[0] != asked[2]


def _await_requests(server: GoldenProcess, count: int) -> None:
    limit_s = time.monotonic() + 60
    while len(server.truths()) < count:
        assert time.monotonic() < limit_s, "the server saw no requests"
        time.sleep(0.05)


def test_what_was_refused_or_broke_off_is_no_part_of_a_conversation(tmp_path: Path) -> None:
    prompts = {"words": 5, "answer_tokens": 4, "turns": 4}
    stages = [{"name": "only", "duration_s": 2, "users": 1}]
    with golden(tmp_path, cycle=["ok", "503", "stream_error", "ok", "ok"]) as server:
        run(server, write(tmp_path, loop="closed", stages=stages, prompts=prompts), tmp_path)
    rows = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert len(rows) > 8
    said = [[message["role"] for message in row["messages"]] for row in rows[:8]]
    assert said[:4] == [
        ["user"],
        ["user", "assistant", "user"],
        ["user", "assistant", "user"],
        ["user", "assistant", "user"],
    ]
    assert said[4:8] == [
        ["user"],
        ["user", "assistant", "user"],
        *[["user", "assistant", "user", "assistant", "user"]] * 2,
    ]
    whole = {len(m["content"]) > 0 for row in rows for m in row["messages"]}
    assert whole == {True}


def test_a_seed_that_draws_more_than_the_bounds_allow_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    stages = [{"name": "only", "duration_s": 2, "rate": {"shape": "constant", "per_s": 5}}]
    fields = {"stages": stages, "process": "poisson", "bounds": {"requests": 12}}
    counts = {seed: len(schedule(profile(seed=seed, process="poisson", stages=stages))) for seed in range(1, 40)}
    few, many = (next(s for s, n in counts.items() if (n > 12) is more) for more in (False, True))
    with golden(tmp_path) as server:
        code, _, err = command(
            "run", write(tmp_path, seed=few, **fields), "--seed", str(many), "--base-url", server.url, tmp_path=tmp_path
        )
        assert server.truths() == []
    assert (code, err) == (
        64,
        f"error: --seed {many}: the stages ask for more than bounds.requests = 12 requests: lower their rates, or raise it\n",
    )


NEVER_STARTS = """
from gevent import monkey
monkey.patch_all()
import sys
from loadtest import cli, run, session
def broken(*_, **__):
    raise RuntimeError("a listener of Locust's fails")
session.Session.__init__ = broken
run.START_S = 0.5
sys.exit(cli.main(sys.argv[1:]))
"""


def test_a_load_that_locust_does_not_start_ends_with_3_and_a_sentence(tmp_path: Path) -> None:
    with golden(tmp_path) as server:
        process = child.start(
            [sys.executable, "-c", NEVER_STARTS, "run", str(write(tmp_path)), "--base-url", server.url],
            cwd=ROOT, environment=os.environ,
        )  # fmt: skip
        code, _, err = child.finish(process, timeout_s=60)
    assert code == 3
    assert "error: the load did not begin within 0.5 s: what Locust logged says why" in err
    assert "a listener of Locust's fails" in err


def test_a_dashboard_that_goes_away_voids_the_verdict_and_blames_nothing(tmp_path: Path) -> None:
    token, quick = tmp_path / "token", tmp_path / "serve"
    token.write_text("secret\n")
    quick.mkdir()
    with golden(tmp_path) as server, ExitStack() as dashboards:
        dashboard = dashboards.enter_context(golden(quick, serve={}))
        process = start(
            "verify", closed(tmp_path), "--base-url", server.url, "--dashboard-url", dashboard.url,
            "--dashboard-token-file", token, "--reports", tmp_path / "reports", "-o", "json", tmp_path=tmp_path,
        )  # fmt: skip
        _await_requests(server, 3)
        dashboards.close()
        code, out, _ = child.finish(process)
    document = json.loads(out)
    assert (code, document["verdict"], document["broken_link"]) == (3, "void", None)
    assert document["void_reasons"][0].startswith("nobody could see the target when the load ended")
    assert "does not answer" in document["void_reasons"][0]
