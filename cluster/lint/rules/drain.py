"""The end of a pod: a stream must be shorter than everything that may cut it."""

from __future__ import annotations

from collections.abc import Iterator

from cluster.lint.capacity import open_pools
from cluster.lint.finding import Hit
from cluster.lint.ray import Cluster, Group
from cluster.lint.registry import rule
from cluster.lint.serve import ServeConfig, number
from cluster.lint.stack import Stack
from cluster.objects import dig, text

HOP = "drain"
DRAIN = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
HARD_STOP = "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"
LONGEST_ANSWER_S = 300.0  # the chatbot's default of engine.longest_answer_s
# Read by Serve's controller, its proxies and its replicas, which run on both sides.
BOTH_SIDES = ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_THROUGHPUT_OPTIMIZED", "RAY_SERVE_USE_GRPC_BY_DEFAULT", HARD_STOP)


def longest_answer_s(config: ServeConfig | None) -> float | None:
    """The longest stream: the setting in the chatbot's args, or what another application's time-out allows."""
    if config is None:
        return None
    written = config.setting("engine", "longest_answer_s")
    ours = any(text(app.get("import_path")).startswith("serving.") for _, app in config.applications)
    return written if written is not None else LONGEST_ANSWER_S if ours else None


def _services(stack: Stack) -> Iterator[tuple[Cluster, ServeConfig | None, float | None]]:
    for cluster in stack.clusters:
        if cluster.is_service:
            config = stack.config_of(cluster)
            yield cluster, config, longest_answer_s(config)


def _seconds(group: Group, name: str, default: float | None) -> float | None:
    value = group.container.env.get(name) if group.container else None
    try:
        return float(value) if value else default
    except ValueError:
        return default


def _grace(group: Group) -> float:
    written = number(group.pod.spec.get("terminationGracePeriodSeconds"))
    return 30.0 if written is None else written


@rule(
    HOP,
    "warning",
    fix="Raise each to exceed the one before it; see docs/manifests.md for the chain.",
    evidence="Ray 2.60 drains for RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S (30 s); Kubernetes kills after 30 s; ray-project/ray#64454",
)
def drain_chain_short(stack: Stack) -> Iterator[Hit]:
    """Longest stream ≤ Ray's drain < the pod's grace ≤ the node's grace: a link is too short, and streams are cut."""
    for cluster, _, longest in _services(stack):
        for group in cluster.workers:
            drain, grace = _seconds(group, DRAIN, 30.0) or 30.0, _grace(group)
            path = group.pod.spec_path
            versions = cluster.ray_version
            if longest is not None and drain < longest and (versions is None or versions >= (2, 60, 0)):
                yield Hit(
                    cluster.manifest,
                    path,
                    f"{group.name}: {DRAIN} {drain:g} s < longest answer {longest:g} s",
                    severity="error",
                )
            if grace <= drain:
                yield Hit(
                    cluster.manifest, path, f"{group.name}: terminationGracePeriodSeconds {grace:g} ≤ drain {drain:g} s"
                )
            for pool in open_pools(stack, group.pod):
                if pool.termination_grace_s is not None and pool.termination_grace_s < grace:
                    message = (
                        f"terminationGracePeriod {pool.termination_grace_s:g} s of {pool.name} < {grace:g} s of the pod"
                    )
                    yield Hit(pool.manifest, "spec.template.spec.terminationGracePeriod", message)


@rule(
    HOP,
    "warning",
    fix="Remove it: Ray drains by itself on SIGTERM.",
    evidence="Ray 2.60 drains on SIGTERM; `ray stop` in preStop kills the replicas first; ray-project/kuberay#5004",
)
def prestop_ray_stop(stack: Stack) -> Iterator[Hit]:
    """PreStop runs `ray stop`: the replicas are killed before the drain begins."""
    for pod in stack.ray_pods:
        for container in pod.containers:
            command = str(dig(container.value, "lifecycle", "preStop", "exec", "command") or "")
            if "ray stop" in command or "'ray', 'stop'" in command:
                yield Hit(
                    pod.manifest, f"{container.path}.lifecycle.preStop", f"{pod.role} is stopped before it drains"
                )


@rule(
    HOP,
    "warning",
    fix="Leave RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S out, or set it above the longest answer.",
    evidence="ray-project/ray#64454: before Ray 2.60 there is no drain on SIGTERM",
)
def no_sigterm_drain(stack: Stack) -> Iterator[Hit]:
    """A worker that ends does not drain: every scale-in and every upgrade cuts streams."""
    for cluster, _, _ in _services(stack):
        for group in cluster.workers:
            if _seconds(group, DRAIN, None) == 0 and group.container:
                yield Hit(cluster.manifest, f"{group.container.path}.env", f"{group.name}: {DRAIN} is 0")


@rule(
    HOP,
    "warning",
    fix="Set it above the longest answer on head and workers.",
    evidence="ray-project/ray#66056: HAProxy is reloaded on each scale event, and the old process ends after 120 s",
)
def haproxy_hard_stop(stack: Stack) -> Iterator[Hit]:
    """HAProxy ends streams that outlive a reload, and each replica that comes or goes is a reload."""
    for cluster, _, longest in _services(stack):
        for group in cluster.groups:
            env = group.container.env if group.container else {}
            stop = _seconds(group, HARD_STOP, 120.0) or 120.0
            if (
                env.get("RAY_SERVE_ENABLE_HA_PROXY") == "1"
                and longest is not None
                and stop < longest
                and group.container
            ):
                yield Hit(
                    cluster.manifest,
                    f"{group.container.path}.env",
                    f"{group.name}: {HARD_STOP} {stop:g} s < longest answer {longest:g} s",
                    severity="error",
                )


@rule(
    HOP,
    "error",
    fix="Set it to the same value on the head and on every worker group.",
    evidence="Serve's controller and proxies read these where they run; runtime_env does not reach them",
)
def env_flags_one_side(stack: Stack) -> Iterator[Hit]:
    """A flag of Serve's data path differs between head and workers: half of the proxies speak another protocol."""
    for cluster, _, _ in _services(stack):
        for group in cluster.workers:
            head = cluster.head.container.env if cluster.head.container else {}
            worker = group.container.env if group.container else {}
            for name in BOTH_SIDES:
                if head.get(name) != worker.get(name):
                    shown = f"head {head.get(name, 'unset')}, {group.name} {worker.get(name, 'unset')}"
                    yield Hit(cluster.manifest, f"{group.path}.template.spec.containers[0].env", f"{name}: {shown}")


@rule(
    HOP,
    "error",
    fix="Set them in the pods of head and workers.",
    evidence="runtime_env reaches replicas only; proxies and controller start without it",
)
def env_flags_in_runtime_env(stack: Stack) -> Iterator[Hit]:
    """A flag of Serve's data path is set in runtime_env, where proxy and controller do not see it."""
    for config in stack.serve_configs:
        for path, app in config.applications:
            for name in BOTH_SIDES:
                if dig(app, "runtime_env", "env_vars", name) is not None:
                    yield Hit(
                        config.manifest, config.at(f"{path}.runtime_env.env_vars.{name}"), f"{name} in runtime_env"
                    )


@rule(
    HOP,
    "warning",
    fix="Set graceful_shutdown_timeout_s above the longest answer.",
    evidence="Serve kills a replica after graceful_shutdown_timeout_s, 20 s by default",
)
def grace_shorter_than_generation(stack: Stack) -> Iterator[Hit]:
    """A replica that is taken away is killed before its longest answer ends."""
    for config in stack.serve_configs:
        longest = longest_answer_s(config)
        for deployment in config.deployments if longest is not None else []:
            written = deployment.seconds("graceful_shutdown_timeout_s")
            grace = 20.0 if written is None else written
            if longest is not None and grace < longest:
                path = config.at(f"{deployment.path}.graceful_shutdown_timeout_s")
                yield Hit(
                    config.manifest,
                    path,
                    f"{deployment.name}: {grace:g} s < longest answer {longest:g} s",
                    severity="error",
                )


@rule(
    HOP,
    "warning",
    fix="Set request_timeout_s above the longest answer.",
    evidence="Serve's proxy cuts the connection at request_timeout_s, streams included",
)
def request_timeout_cuts_stream(stack: Stack) -> Iterator[Hit]:
    """The proxy's time-out is shorter than the longest answer: the stream is cut without an error."""
    for config in stack.serve_configs:
        limit, longest = number(dig(config.value, "http_options", "request_timeout_s")), longest_answer_s(config)
        if limit is not None and longest is not None and limit < longest:
            path = config.at("http_options.request_timeout_s")
            yield Hit(config.manifest, path, f"{limit:g} s < longest answer {longest:g} s", severity="error")


@rule(
    HOP,
    "warning",
    fix="Let the old cluster live for the longest answer.",
    evidence="KubeRay deletes the old RayCluster rayClusterDeletionDelaySeconds (60) after the switch",
)
def upgrade_cuts_streams(stack: Stack) -> Iterator[Hit]:
    """After an upgrade the old cluster is deleted before its longest answer ends."""
    for cluster, _, longest in _services(stack):
        written = number(cluster.manifest.spec.get("rayClusterDeletionDelaySeconds"))
        delay = 60.0 if written is None else written
        if cluster.surge > 1 and longest is not None and delay < longest:
            yield Hit(
                cluster.manifest, "spec.rayClusterDeletionDelaySeconds", f"{delay:g} s < longest answer {longest:g} s"
            )
