"""The Serve config by itself: figures that contradict each other, and what Serve takes otherwise than meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cluster.lint.finding import Hit
from cluster.lint.registry import rule
from cluster.lint.serve import Deployment, number
from cluster.lint.stack import Stack
from cluster.objects import dig, mappings, text

HOP = "serve"


def _deployments(stack: Stack) -> Iterator[Deployment]:
    for config in stack.serve_configs:
        yield from config.deployments


def _hit(deployment: Deployment, key: str, message: str) -> Hit:
    path = f"{deployment.path}.{key}" if key else deployment.path
    return Hit(deployment.config.manifest, deployment.config.at(path), f"{deployment.name}: {message}")


@rule(
    HOP,
    "warning",
    fix="Let max_replicas exceed min_replicas, or turn enableInTreeAutoscaling off.",
    evidence="Serve's AutoscalingConfig: min_replicas and max_replicas both default to 1",
)
def serve_fixed_scale(stack: Stack) -> Iterator[Hit]:
    """Ray's autoscaler is on, and no deployment may ever have more replicas than at first."""
    for cluster in stack.clusters:
        config = stack.config_of(cluster)
        if config is None or not cluster.autoscaling:
            continue
        scaled = [d for d in config.deployments if d.bounds]
        if scaled and all(d.bounds is not None and d.bounds[0] >= d.bounds[1] for d in scaled):
            shown = ", ".join(f"{d.name} {d.bounds[0]}..{d.bounds[1]}" for d in scaled if d.bounds)
            yield Hit(config.manifest, config.at(scaled[0].path), f"no deployment can scale: {shown}")


@rule(
    HOP,
    "warning",
    fix="Set max_ongoing_requests to 1.5 to 2 times the target, at least one above it.",
    evidence="Serve counts at most max_ongoing_requests per replica; ray-project/ray#24793",
)
def max_ongoing_below_target(stack: Stack) -> Iterator[Hit]:
    """A replica takes no more requests than the target, so the load that Serve sees can never exceed it."""
    for deployment in _deployments(stack):
        if deployment.autoscaling is None:
            continue
        target = number(deployment.autoscaling.get("target_ongoing_requests", 2))
        most = number(deployment.value.get("max_ongoing_requests", 5))
        if target is not None and most is not None and most <= target:
            message = f"max_ongoing_requests {most:g} ≤ target_ongoing_requests {target:g}"
            yield _hit(deployment, "max_ongoing_requests", f"{message}: the queue is never seen, so nothing scales up")


@rule(
    HOP,
    "error",
    fix="Keep one of them; bounds in order.",
    evidence="Serve's DeploymentSchema and AutoscalingConfig validators",
)
def serve_bounds_invalid(stack: Stack) -> Iterator[Hit]:
    """Replica counts that Serve refuses: fixed and autoscaled at once, or bounds out of order."""
    for deployment in _deployments(stack):
        count = deployment.value.get("num_replicas")
        if isinstance(deployment.value.get("autoscaling_config"), Mapping) and number(count) is not None:
            yield _hit(deployment, "num_replicas", "num_replicas and autoscaling_config exclude each other")
        if deployment.autoscaling is None or deployment.bounds is None:
            continue
        low, high = deployment.bounds
        if high < low or high < 1:
            yield _hit(
                deployment, "autoscaling_config", f"max_replicas {high} must be at least 1 and min_replicas {low}"
            )
        first = number(deployment.autoscaling.get("initial_replicas"))
        if first is not None and not low <= first <= high:
            yield _hit(deployment, "autoscaling_config", f"initial_replicas {first:g} is outside {low}..{high}")


@rule(
    HOP,
    "warning",
    fix="look_back_period_s of at least two metrics_interval_s; delays of at least look_back_period_s.",
    evidence="ray-project/ray#26455; Serve's metrics are pushed every 10 s by default",
)
def scaling_delays_short(stack: Stack) -> Iterator[Hit]:
    """Serve decides faster than its figures arrive, so it swings."""
    for deployment in _deployments(stack):
        scaling = deployment.autoscaling
        if scaling is None:
            continue
        look_back = number(scaling.get("look_back_period_s", 30))
        interval = number(scaling.get("metrics_interval_s", 10))
        down = number(scaling.get("downscale_delay_s", 600))
        if look_back is None:
            continue  # serve-value-invalid says what is no number
        if interval is not None and look_back <= interval:
            message = f"look_back_period_s {look_back:g} ≤ metrics_interval_s {interval:g}: a decision sees one figure or none"
            yield _hit(deployment, "autoscaling_config", message)
        if down is not None and down < look_back:
            message = (
                f"downscale_delay_s {down:g} < look_back_period_s {look_back:g}: it scales in on figures of the peak"
            )
            yield _hit(deployment, "autoscaling_config", message)


@rule(
    HOP,
    "warning",
    fix="Set a number; requests beyond it get 503 or 429 at once.",
    evidence="Serve's DeploymentSchema: max_queued_requests defaults to -1, no limit",
)
def unbounded_queue(stack: Stack) -> Iterator[Hit]:
    """Requests queue without limit: an overload becomes a time-out for everybody instead of a refusal for some."""
    for deployment in _deployments(stack):
        if deployment.autoscaling is not None and number(deployment.value.get("max_queued_requests", -1)) == -1:
            yield _hit(deployment, "max_queued_requests", "max_queued_requests is -1: the queue has no end")


@rule(HOP, "warning", fix="Pin a tag or a commit.", evidence="Ray re-downloads a working_dir by URL; a branch moves")
def mutable_working_dir(stack: Stack) -> Iterator[Hit]:
    """The code comes from a branch: two replicas of one service may run different code."""
    for config in stack.serve_configs:
        for path, app in config.applications:
            source = text(dig(app, "runtime_env", "working_dir"))
            if any(part in source for part in ("/heads/", "/master.zip", "/main.zip")):
                yield Hit(
                    config.manifest, config.at(f"{path}.runtime_env.working_dir"), f"{source} is the head of a branch"
                )


@rule(
    HOP,
    "warning",
    fix="Install it in the image.",
    evidence="Ray runs pip in every new worker process's environment before it starts",
)
def pip_at_start(stack: Stack) -> Iterator[Hit]:
    """Packages are installed when a replica starts: minutes for each scale-out, and the index must be up."""
    for config in stack.serve_configs:
        for path, app in config.applications:
            if dig(app, "runtime_env", "pip"):
                yield Hit(
                    config.manifest, config.at(f"{path}.runtime_env.pip"), "runtime_env.pip runs on every scale-out"
                )
        for deployment in config.deployments:
            if dig(deployment.value, "ray_actor_options", "runtime_env", "pip"):
                yield _hit(deployment, "ray_actor_options.runtime_env.pip", "runtime_env.pip runs on every scale-out")


@rule(
    HOP,
    "error",
    fix="Use http_options.port 8000 and name the same port `serve`, or change both.",
    evidence="KubeRay v1.6.1 points the serve Service and its health check at the container port named serve",
)
def serve_port_disagrees(stack: Stack) -> Iterator[Hit]:
    """Serve listens on another port than the one that the Service and the probes use."""
    for cluster in stack.clusters:
        config, container = stack.config_of(cluster), cluster.head.container
        if config is None or container is None or not cluster.is_service:
            continue
        listens = number(dig(config.value, "http_options", "port")) or 8000
        ports = [port for port in mappings(container.value.get("ports")) if text(port.get("name")) == "serve"]
        for port in ports:
            named = number(port.get("containerPort"))
            if named is not None and named != listens:
                path = config.at("http_options.port")
                yield Hit(config.manifest, path, f"Serve listens on {listens:g}, the head's port `serve` is {named:g}")
        if not ports and not container.value.get("ports") and listens != 8000:
            yield Hit(
                config.manifest, config.at("http_options.port"), f"Serve listens on {listens:g}, KubeRay assumes 8000"
            )
