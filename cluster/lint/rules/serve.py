"""The Serve config by itself: what Serve ignores, refuses or takes otherwise than meant."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from cluster.lint.finding import Hit
from cluster.lint.registry import rule
from cluster.lint.serve import Deployment, ServeConfig, number
from cluster.lint.stack import Stack
from cluster.objects import dig, mappings, text

HOP = "serve"
SCHEMAS = "Serve's own schemas, Ray 2.60.0: extra keys are allowed and ignored"
FIELDS: Mapping[str, list[str]] = json.loads(
    (resources.files("cluster.lint") / "serve_fields.json").read_text(encoding="utf-8")
)
REMOVED = {  # from 2.33 on; what stands in their place
    "target_num_ongoing_requests_per_replica": "target_ongoing_requests, whose default is 2",
    "max_concurrent_queries": "max_ongoing_requests, whose default is 5",
}
REMOVED_IN = (2, 33, 0)


@dataclass(frozen=True, slots=True)
class Range:
    """What a number of the config may be."""

    words: str
    least: float = -math.inf
    above: float = -math.inf
    whole: bool = False
    also: str | int | None = None  # a value with a meaning of its own
    strict: bool = False  # Serve converts nothing: neither "2" nor 2.0 will do

    def holds(self, value: object) -> bool:
        """Whether Serve takes `value`, as pydantic converts it; null is left to Serve."""
        if value is None or isinstance(value, bool) or value == self.also:
            return True
        if self.strict and not isinstance(value, int):
            return False
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return False
        if not isinstance(value, int | float):
            return False
        return value >= self.least and value > self.above and not (self.whole and value % 1)


WHOLE = Range("a whole number", whole=True)
WHOLE_FROM_0 = Range("a whole number of at least 0", least=0, whole=True)
WHOLE_FROM_1 = Range("a whole number of at least 1", least=1, whole=True)
NUMBER = Range("a number")
FROM_0 = Range("a number of at least 0, without a unit", least=0)
ABOVE_0 = Range("a number above 0, without a unit", above=0)
RANGES: Mapping[str, Mapping[str, Range]] = {
    "http_options": {"port": WHOLE, "keep_alive_timeout_s": WHOLE, "request_timeout_s": NUMBER},
    "deployment": {
        "num_replicas": Range("`auto` or a whole number of at least 1", least=1, also="auto", strict=True),
        "max_ongoing_requests": WHOLE_FROM_1,
        "max_queued_requests": Range("-1 or a whole number of at least 1", least=1, also=-1, strict=True),
        "graceful_shutdown_wait_loop_s": FROM_0,
        "graceful_shutdown_timeout_s": FROM_0,
        "health_check_period_s": ABOVE_0,
        "health_check_timeout_s": ABOVE_0,
    },
    "autoscaling_config": {
        "min_replicas": WHOLE_FROM_0,
        "initial_replicas": WHOLE_FROM_0,
        "max_replicas": WHOLE_FROM_1,
        "target_ongoing_requests": ABOVE_0,
        "metrics_interval_s": ABOVE_0,
        "look_back_period_s": ABOVE_0,
        "upscaling_factor": ABOVE_0,
        "downscaling_factor": ABOVE_0,
        "upscale_delay_s": FROM_0,
        "downscale_delay_s": FROM_0,
        "downscale_to_zero_delay_s": FROM_0,
    },
    "ray_actor_options": {"num_cpus": FROM_0, "num_gpus": FROM_0, "memory": FROM_0},
}


def _parts(config: ServeConfig) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(schema, path, mapping) of every part of the config that has a schema here."""
    yield "config", "", config.value
    if isinstance(config.value.get("http_options"), Mapping):
        yield "http_options", "http_options", config.value["http_options"]
    for path, app in config.applications:
        yield "application", path, app
    for deployment in config.deployments:
        yield "deployment", deployment.path, deployment.value
        for part in ("autoscaling_config", "ray_actor_options"):
            if isinstance(deployment.value.get(part), Mapping):
                yield part, f"{deployment.path}.{part}", deployment.value[part]


def _deployments(stack: Stack) -> Iterator[Deployment]:
    for config in stack.serve_configs:
        yield from config.deployments


def _hit(deployment: Deployment, key: str, message: str) -> Hit:
    path = f"{deployment.path}.{key}" if key else deployment.path
    return Hit(deployment.config.manifest, deployment.config.at(path), f"{deployment.name}: {message}")


@rule(
    HOP,
    "error",
    fix="Rename it as the message says.",
    evidence="Ray wheels 2.32 and 2.33: the keys are in the first and gone from the second",
)
def serve_removed_field(stack: Stack) -> Iterator[Hit]:
    """A key that Serve dropped in Ray 2.33: it is accepted, ignored, and the default holds instead."""
    versions = {id(c.manifest): c.ray_version for c in stack.clusters}
    for config in stack.serve_configs:
        version = versions.get(id(config.manifest))
        if version is not None and version < REMOVED_IN:
            continue
        for _, path, part in _parts(config):
            for key, became in REMOVED.items():
                if key in part:
                    place = config.at(f"{path}.{key}" if path else key)
                    yield Hit(
                        config.manifest, place, f"`{key}: {text(part[key])}` is ignored since Ray 2.33; write {became}"
                    )


@rule(HOP, "error", fix="Correct its spelling or its place, or remove it.", evidence=SCHEMAS)
def serve_unknown_key(stack: Stack) -> Iterator[Hit]:
    """A key that Serve does not know at this place: it is accepted and ignored."""
    for config in stack.serve_configs:
        for schema, path, part in _parts(config):
            for key in part:
                if key not in FIELDS[schema] and key not in REMOVED:
                    place = config.at(f"{path}.{key}" if path else str(key))
                    yield Hit(config.manifest, place, f"`{key}` is no key of {schema} in Ray 2.60; Serve ignores it")


@rule(
    HOP,
    "error",
    fix="Write a plain number that is allowed there.",
    evidence="the types and bounds of Serve's schemas, Ray 2.60.0; a test compares",
)
def serve_value_invalid(stack: Stack) -> Iterator[Hit]:
    """A value that Serve refuses, because it is no number or outside its bounds: the application is never deployed."""
    for config in stack.serve_configs:
        for schema, path, part in _parts(config):
            for key, allowed in RANGES.get(schema, {}).items():
                if not allowed.holds(part.get(key)):
                    written = f"`{key}: {text(part[key], '...')[:80]}`"
                    yield Hit(config.manifest, config.at(f"{path}.{key}"), f"{written} must be {allowed.words}")


@rule(
    HOP,
    "error",
    fix="Write valid YAML: one mapping with `applications`.",
    evidence="KubeRay v1.6.1 sends the string as it is",
)
def serve_config_unreadable(stack: Stack) -> Iterator[Hit]:
    """serveConfigV2 is not YAML that Serve can read: no application ever starts."""
    for config in stack.serve_configs:
        if config.error:
            yield Hit(config.manifest, config.path, f"serveConfigV2 cannot be read: {config.error}")


@rule(
    HOP,
    "error",
    fix="List at least one application.",
    evidence="KubeRay v1.6.1 rayservice_controller.go: ready needs an application, and every one RUNNING",
)
def no_applications(stack: Stack) -> Iterator[Hit]:
    """A RayService without an application never becomes ready."""
    for config in stack.serve_configs:
        if config.path and not config.error and not config.applications:
            yield Hit(config.manifest, config.path, "the Serve config lists 0 applications")


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
    "error",
    fix="Write module:attribute, and one route_prefix for each application.",
    evidence="Serve's ServeDeploySchema validators",
)
def serve_application_invalid(stack: Stack) -> Iterator[Hit]:
    """Applications that Serve refuses: no import path, or a route or name twice."""
    for config in stack.serve_configs:
        seen: dict[tuple[str, str], str] = {}
        for path, app in config.applications:
            place = text(app.get("import_path"))
            if ":" not in place and "." not in place:
                yield Hit(config.manifest, config.at(f"{path}.import_path"), f"`{place}` is no import path")
            for key, default in (("route_prefix", "/"), ("name", "default")):
                value = text(app.get(key), default)
                if app.get(key, default) is not None and (key, value) in seen:
                    yield Hit(
                        config.manifest, config.at(f"{path}.{key}"), f"{key} {value} is already at {seen[key, value]}"
                    )
                seen[key, value] = path


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
