"""The Serve config against Serve's own schemas: what Serve ignores, and what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from cluster.lint.finding import Hit
from cluster.lint.registry import rule
from cluster.lint.serve import ServeConfig
from cluster.lint.stack import Stack
from cluster.objects import text

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
