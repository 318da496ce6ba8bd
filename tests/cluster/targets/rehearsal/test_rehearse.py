from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.commands.rehearse import as_text
from cluster.rehearsal import scenario
from cluster.rehearsal.control import Silent
from cluster.rehearsal.lab import Lab, Part, Running
from cluster.settings import from_environment
from cluster.targets.rehearsal.memory import Peak
from cluster.targets.rehearsal.rehearse import PROJECT, Rehearsal, run_child


@pytest.fixture
def rehearsed(tmp_path: Path) -> Rehearsal:
    return Rehearsal(scenario.read("field"), from_environment({"HOME": str(tmp_path)}), lambda _: None, tmp_path)


@pytest.mark.parametrize(
    ("verdict_code", "failed_in", "code", "verdict"),
    [
        (0, "", 0, "pass"),
        (1, "", 1, "slo-failed"),
        (2, "", 2, "autoscaling-failed"),
        (3, "", 3, "void"),
        (None, "deploy", 2, "autoscaling-failed"),
        (None, "chat", 2, "autoscaling-failed"),
        (None, "verify", 3, "void"),
        (0, "Locust Jobs", 3, "void"),
        (1, "Locust Jobs", 1, "slo-failed"),
        (0, "destroy", 2, "autoscaling-failed"),
        (1, "destroy", 2, "autoscaling-failed"),
    ],
)
def test_a_chatbot_that_does_not_come_up_or_go_away_is_as_bad_as_one_that_does_not_scale(
    rehearsed: Rehearsal, verdict_code: int | None, failed_in: str, code: int, verdict: str
) -> None:
    rehearsed.verdict_code, rehearsed.failed_in = verdict_code, failed_in
    rehearsed.failure = f"something failed in {failed_in}" if failed_in else ""
    assert (rehearsed.exit_code, rehearsed.verdict) == (code, verdict)
    assert rehearsed.document()["exit_code"] == code


def test_a_scenario_that_there_is_not_voids_the_run_and_blames_no_autoscaling() -> None:
    command = [sys.executable, "-m", "cluster", "rehearse", "--scenario", "nowhere"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    said = "error: There is no scenario 'nowhere': name one of field, or a YAML file.\n"
    assert (done.returncode, done.stdout, done.stderr) == (3, "", said)


def test_a_phase_is_kept_however_it_ends(rehearsed: Rehearsal) -> None:
    with rehearsed.phase("deploy"):
        pass
    with pytest.raises(KeyboardInterrupt), rehearsed.phase("verify"):
        raise KeyboardInterrupt
    assert [phase.name for phase in rehearsed.phases] == ["deploy", "verify"]


def test_the_summary_names_phases_memory_report_and_verdict(rehearsed: Rehearsal, tmp_path: Path) -> None:
    with rehearsed.phase("deploy"):
        pass
    rehearsed.memory_peak_bytes = 5 * 1024**3
    rehearsed.report = tmp_path / "rehearsal-step-1"
    rehearsed.failure, rehearsed.failed_in = "NodeClaims still there", "destroy"
    text = as_text(rehearsed)
    assert "5120 MiB" in text
    assert f"{tmp_path}/rehearsal-step-1/report.html" in text
    assert text.endswith("verdict autoscaling-failed: NodeClaims still there")


def test_a_memory_that_could_not_be_watched_has_no_peak_and_voids_no_verdict(rehearsed: Rehearsal) -> None:
    told: list[str] = []
    rehearsed.tell, rehearsed.verdict_code = told.append, 0
    peak = Peak(1)
    peak.peak_bytes, peak.failure = 5, PermissionError("/proc may not be read")
    rehearsed._note_memory(peak)
    assert rehearsed.document()["memory_peak_bytes"] is None
    assert "not known" in as_text(rehearsed)
    assert rehearsed.verdict == "pass"
    assert told == [
        "The memory was not watched to the end, so its peak is not known: PermissionError: /proc may not be read"
    ]


def test_what_a_failed_rehearsals_lab_leaves_is_kept_where_the_summary_says(
    rehearsed: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = (
        Part("karpenter", "ended", None, 2),
        Part("kwok", "running", 1, None),
        Part("kubelet", "absent", None, None),
    )
    running = Running(1, tmp_path / "kubeconfig", "", rehearsed.scenario, parts)
    monkeypatch.setattr(Lab, "status", lambda _: running)
    lab = Lab(tmp_path / "lab")
    lab.logs.mkdir(parents=True)
    (lab.logs / "karpenter.log").write_text("panic: assignment to nil map")
    assert rehearsed.document()["logs"] is None
    rehearsed.keep_evidence(lab)
    (kept,) = tmp_path.glob("rehearsal-logs-*")
    assert (kept / "karpenter.log").read_text() == "panic: assignment to nil map"
    document, text = rehearsed.document(), as_text(rehearsed)
    assert (document["ended_components"], document["logs"]) == (["karpenter (exit code 2)"], str(kept))
    assert "ended   karpenter (exit code 2), unasked" in text
    assert f"logs    {kept}" in text


def test_a_lab_that_has_ended_is_named_and_what_cannot_be_kept_is_told(
    rehearsed: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    rehearsed.tell = told.append
    monkeypatch.setattr(Lab, "status", lambda _: None)
    rehearsed.keep_evidence(Lab(tmp_path / "nowhere"))
    assert (rehearsed.logs, rehearsed.ended) == (None, ["the lab itself"])
    assert "could not all be kept in" in told[0]


def test_a_lab_that_does_not_answer_keeps_no_log_from_being_kept(
    rehearsed: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say_nothing(_: Lab) -> None:
        raise Silent("The rehearsal's lab is starting or ending at the moment: try again.")

    told: list[str] = []
    rehearsed.tell = told.append
    monkeypatch.setattr(Lab, "status", say_nothing)
    lab = Lab(tmp_path / "lab")
    lab.logs.mkdir(parents=True)
    rehearsed.keep_evidence(lab)
    assert rehearsed.logs is not None
    assert told == [
        "The lab does not say which of its components run: The rehearsal's lab is starting or ending at the moment: try again."
    ]


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """As at a terminal: what a shell starts in the background, tests too, ignores it, and so would its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_rehearsal_interrupts_its_child_and_waits_for_its_report(tmp_path: Path) -> None:
    written = tmp_path / "report"
    ready = tmp_path / "ready"
    # Blocked, so that one that comes before it is waited for is not lost.
    child = (
        "import pathlib, signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "signal.sigwait({signal.SIGINT})\n"
        f"pathlib.Path({str(written)!r}).touch()\n"
    )
    waits = threading.Event()

    class Child(subprocess.Popen[bytes]):
        """The child may be ready before its starter has a handle of it: then there is nobody to interrupt yet."""

        def wait(self, timeout: float | None = None) -> int:
            waits.set()
            return super().wait(timeout)

    def interrupt_when_ready() -> None:
        waits.wait()
        while not ready.exists():
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_when_ready).start()
    with pytest.raises(KeyboardInterrupt):
        run_child([sys.executable, "-c", child], os.environ, popen=Child)
    assert written.exists()


def test_the_childs_exit_code_is_returned() -> None:
    assert run_child([sys.executable, "-c", "raise SystemExit(3)"], os.environ) == 3


def test_a_document_stays_alone_on_our_output(capfd: pytest.CaptureFixture[str]) -> None:
    run_child([sys.executable, "-c", "print('PASS')"], os.environ, told_to=2)
    assert capfd.readouterr() == ("", "PASS\n")
