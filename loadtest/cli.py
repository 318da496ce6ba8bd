"""run · verify · watch · report · compare. Exit codes: 0 pass, 1 SLO missed, 2 autoscaling failed, 3 void, 64 usage."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from loadtest import arrivals, compare, profiles, versions
from loadtest.errors import LoadtestError, UsageError
from loadtest.profiles.reader import read
from loadtest.report import document as documents
from loadtest.report import files, terminal
from loadtest.run_result import Run
from loadtest.settings import Settings
from loadtest.spec import LONGEST_S, Profile
from loadtest.target import Given, Target, resolve

EXIT_CODES = "exit codes: 0 pass, 1 an SLO is missed, 2 autoscaling failed, 3 the run is void, 64 usage"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """A user's mistake is one sentence and 64, where argparse would say 2, which means something else here."""
        self.exit(64, f"error: {message} ({self.prog} --help shows what there is)\n")


def build_parser() -> argparse.ArgumentParser:
    """Every command and flag."""
    parser = _Parser(prog="python -m loadtest", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    load = "drive the chatbot with a profile's traffic"
    for name, text in (
        ("run", f"{load}, and judge its SLOs"),
        ("verify", f"{load}, and judge how it scales out and in"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text}.", epilog=EXIT_CODES)
        _add_load_arguments(command)
        command.set_defaults(handler=_load)
    text = "watch a deployment until its first replica answers, without load, and name the link that breaks"
    watch = commands.add_parser("watch", help=text, description=f"{text}.", epilog=EXIT_CODES)
    watch.add_argument(
        "--timeout", type=_seconds, default=900.0, metavar="S",
        help="how long to wait; a cause that only a person can remove ends it sooner (default: 900)",
    )  # fmt: skip
    _add_target(watch)
    watch.set_defaults(handler=_watch)
    report = commands.add_parser("report", help="make page and summary of a finished run anew")
    report.add_argument("folder", type=Path, help="a run's folder under reports/")
    _add_output(report)
    report.set_defaults(handler=_report)
    comparison = commands.add_parser("compare", help="two runs side by side, as ratios")
    comparison.add_argument("a", type=Path, help="a run's folder: the base")
    comparison.add_argument("b", type=Path, help="a run's folder: what is compared with it")
    _add_output(comparison)
    comparison.set_defaults(handler=_compare)
    return parser


def _add_load_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("profile", help=f"a YAML file, or one of {', '.join(profiles.names())}")
    command.add_argument("--seed", type=int, help="instead of the profile's")
    command.add_argument(
        "--expect-workers", type=_workers, default=0, metavar="N",
        help="send from N Locust workers (`locust -f loadtest/locustfile.py --worker`) instead of this process",
    )  # fmt: skip
    command.add_argument("--master-bind-host", default="127.0.0.1", help="where workers find this process")
    command.add_argument("--master-bind-port", type=int, default=5557)
    _add_target(command)


def _add_target(command: argparse.ArgumentParser) -> None:
    command.add_argument("--target", default="local", help="name of the target (default: local)")
    command.add_argument("--base-url", help="the chatbot's address, without /v1 (default: what the target wrote down)")
    command.add_argument("--dashboard-url", help="Ray's dashboard, to watch replicas")
    command.add_argument("--dashboard-token-file", type=Path, help="file that holds Ray's token")
    command.add_argument("--kubeconfig", type=Path, help="a cluster's, to watch replicas, pods and nodes")
    command.add_argument("--context", help="of the kubeconfig (default: its current one)")
    command.add_argument("--namespace", help="of the RayService (default: chatbot)")
    command.add_argument("--rayservice", help="its name (default: chatbot)")
    command.add_argument("--reports", type=Path, default=Path("reports"), help="where a folder is made for this run")
    _add_output(command)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} is not a time to wait: give seconds, at most {LONGEST_S}")
    return value


def _workers(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is not a number of workers: give 0 or more")
    return int(text)


def _given(args: argparse.Namespace) -> Given:
    return Given(
        base_url=args.base_url, dashboard_url=args.dashboard_url, token_file=args.dashboard_token_file,
        kubeconfig=args.kubeconfig, context=args.context, namespace=args.namespace, rayservice=args.rayservice,
    )  # fmt: skip


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("-o", "--output", choices=("text", "json"), default="text", help="what to print")


def _load(args: argparse.Namespace) -> int:
    from loadtest import progress, run

    profile = _profile(args)
    target = resolve(args.target, Settings(), _given(args))
    verify = args.command == "verify"
    if verify and not target.observers:
        raise UsageError(
            "verify has nobody to watch the replicas: deploy the target, or give --dashboard-url or --kubeconfig"
        )
    assert target.endpoint is not None  # noqa: S101 - resolve refuses a load without an address
    files.prepare(args.reports)
    workers = run.Workers(args.expect_workers, args.master_bind_host, args.master_bind_port)
    with progress.bar(sys.stderr) as tell:
        conductor = run.Conductor(
            profile, target.endpoint, target.observers, workers=workers, tell=tell, rehearsal=target.rehearsal
        )
        result = conductor.run(verify=verify)
    return _write(args, result, target, verify=verify)


def _watch(args: argparse.Namespace) -> int:
    from loadtest import deployment, progress

    target = resolve(args.target, Settings(), _given(args), from_deploy=True)
    if not target.observers:
        raise UsageError("watch has nobody to watch with: give --kubeconfig, or --dashboard-url on one machine")
    files.prepare(args.reports)
    with progress.bar(sys.stderr) as tell:
        watching = deployment.Deployment(target.endpoint, target.observers, timeout_s=args.timeout, tell=tell)
        result = replace(watching.run(), rehearsal=target.rehearsal)
    return _write(args, result, target, verify=True)


def _write(args: argparse.Namespace, result: Run, target: Target, *, verify: bool) -> int:
    document = documents.build(result, verify=verify, target=target.described(), versions=versions.collect())
    try:  # before it is printed: whoever reads standard output may be gone by now
        folder = files.write(args.reports, result, document)
        places = f"\n  report   {folder / files.PAGE}\n           {folder / files.DOCUMENT}\n           {folder / files.TABLE}"
    except OSError as error:  # the disk may have filled up during the load
        places = ""
        print(
            f"error: the report could not be written whole to {args.reports} ({error.strerror}): free some space there",
            file=sys.stderr,
        )
    _print(args, document)
    if args.output == "text" and places:
        print(places)
    return int(document["exit_code"])


def _profile(args: argparse.Namespace) -> Profile:
    profile = read(profiles.find(args.profile))
    if args.seed is None:
        return profile
    profile = profile.model_copy(update={"seed": args.seed})
    try:
        arrivals.schedule(profile)  # another seed draws another number of arrivals
    except ValueError as error:
        raise UsageError(f"--seed {args.seed}: {error}") from error
    return profile


def _report(args: argparse.Namespace) -> int:
    document = files.read(args.folder)
    try:
        page = files.write_page(args.folder, document)
    except OSError as error:
        raise UsageError(
            f"the page cannot be written beside {args.folder / files.DOCUMENT if args.folder.is_dir() else args.folder} "
            f"({error.strerror}): copy the run to a folder that can be written to"
        ) from error
    _print(args, document)
    if args.output == "text":
        print(f"\n  report   {page}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    comparison = compare.build(files.read(args.a), files.read(args.b))
    if args.output == "json":
        print(json.dumps(comparison, indent=2))
    else:
        print("\n".join(compare.lines(comparison)))
    return 0


def _print(args: argparse.Namespace, document: dict[str, Any]) -> None:
    print(json.dumps(document, indent=2) if args.output == "json" else "\n".join(terminal.lines(document)))


def main(argv: Sequence[str]) -> int:
    """Run one command; a user's mistake is a sentence on stderr, never a traceback."""
    args = build_parser().parse_args(argv)
    try:
        code = int(args.handler(args))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, `head` for one, has seen enough; the exit's own flush must not say it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except LoadtestError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted before the load began: nothing was measured", file=sys.stderr)
        return 3
