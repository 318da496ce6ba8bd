"""The Serve config for one machine: serve.yaml, local.yaml over it, and what was said on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from cluster.errors import Refused
from cluster.lint.rules.serve_schema import FIELDS
from cluster.targets import Options
from cluster.targets.local.ray_head import MARGIN_S

SERVE_FOLDER = Path(__file__).resolve().parents[3] / "manifests" / "serve"

Config = Mapping[str, Any]


def load_serve_config(options: Options, environment: Mapping[str, str], folder: Path = SERVE_FOLDER) -> Config:
    """What Serve is given. Raises Refused for a file that is missing or wrong."""
    config = merge(_read(folder / "serve.yaml"), _read(folder / "local.yaml"))
    if options.port is not None:
        config = merge(config, {"http_options": {"port": options.port}})
    deployment = dict(options.settings.get("deployment", {}))
    if unknown := sorted(deployment.keys() - FIELDS["deployment"]):
        raise Refused(f"--set deployment.{unknown[0]}: a Serve deployment has no such option.")
    args = {group: values for group, values in options.settings.items() if group != "deployment"}
    name = application(config)["name"]
    patch = {"name": name, "args": args, "deployments": [{"name": "Chat", **deployment}]}
    config = merge(config, {"applications": [patch]})
    return cast(Config, merge(derived(config, environment), config))


def derived(config: Config, environment: Mapping[str, str]) -> Config:
    """What follows from the settings but only the config can say: serving/app.py's formulas, held to them by a test."""
    scaling = {"target_ongoing_requests": 0.75 * _number(config, "runner", "slots", environment, default=8)}
    chat = {"name": "Chat", "autoscaling_config": scaling}
    return {
        "http_options": {"request_timeout_s": longest_answer_s(config, environment) + MARGIN_S},
        "applications": [{"name": application(config)["name"], "deployments": [chat]}],
    }


def longest_answer_s(config: Config, environment: Mapping[str, str]) -> float:
    """Seconds after which the engine ends an answer. Raises Refused for what is no number."""
    return _number(config, "engine", "longest_answer_s", environment, default=300)


def merge(base: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386: mappings merge, null removes), but lists whose items have a `name` merge by it."""
    if isinstance(base, Mapping) and isinstance(patch, Mapping):
        kept = {key: value for key, value in base.items() if key not in patch}
        return kept | {key: merge(base.get(key), value) for key, value in patch.items() if value is not None}
    if _is_named(base) and _is_named(patch):
        by_name = {item["name"]: item for item in patch}
        merged = [merge(item, by_name.pop(item["name"], {})) for item in base]
        return merged + list(by_name.values())
    return patch


def application(config: Config) -> Config:
    """The one application."""
    return cast(Config, config["applications"][0])


def argument(config: Config, group: str, name: str, *, environment: Mapping[str, str], default: str) -> str:
    """A setting of the chatbot as it will see it: the application's arguments, then the environment, then its default."""
    said = application(config).get("args", {}).get(group, {}).get(name)
    return str(said if said is not None else environment.get(f"CHATBOT_{group}__{name}".upper(), default))


def _number(config: Config, group: str, name: str, environment: Mapping[str, str], *, default: float) -> float:
    said = argument(config, group, name, environment=environment, default=str(default))
    try:
        return float(said)
    except ValueError as error:
        raise Refused(f"{group}.{name} must be a number, not {said!r}.") from error


def _is_named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(i, Mapping) and "name" in i for i in value)


def _read(path: Path) -> Config:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise Refused(f"{path} cannot be read ({error}): restore it from the repository.") from error
    if not isinstance(content, dict):
        raise Refused(f"{path} must hold a mapping: restore it from the repository.")
    return content
