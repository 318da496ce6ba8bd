"""What Serve is told of the deployment, and that the Serve config in the manifests says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.targets import Options
from cluster.targets.local.serve_config import load_serve_config
from serving.app import build_app, deployment_options, target_ongoing_requests
from serving.errors import SetupError
from serving.settings import load

SERVE_CONFIG = Path(__file__).parents[2] / "manifests" / "serve" / "serve.yaml"


def serve_config() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(SERVE_CONFIG.read_text())
    return config


def test_serve_lets_in_more_than_the_app_accepts() -> None:
    settings = load({"runner": {"slots": 8}, "engine": {"queue_length": 16}})
    assert deployment_options(settings)["max_ongoing_requests"] > settings.capacity


def test_autoscaling_aims_below_the_slots_and_sees_the_queue() -> None:
    settings = load({"runner": {"slots": 32}, "engine": {"queue_length": 16}})
    assert target_ongoing_requests(settings) == 24
    assert deployment_options(settings)["max_ongoing_requests"] > settings.capacity > target_ongoing_requests(settings)


def test_a_leaving_replica_has_time_for_the_longest_answer() -> None:
    settings = load({"engine": {"longest_answer_s": 600}})
    assert deployment_options(settings)["graceful_shutdown_timeout_s"] > 600


def test_the_serve_config_says_what_follows_from_its_own_args() -> None:
    application = serve_config()["applications"][0]
    derived = deployment_options(load(application["args"]))
    (written,) = application["deployments"]
    assert written["name"] == "Chat"
    for name in ("max_ongoing_requests", "max_queued_requests", "graceful_shutdown_timeout_s"):
        assert written[name] == derived[name], name
    target = written["autoscaling_config"]["target_ongoing_requests"]
    assert target == derived["autoscaling_config"]["target_ongoing_requests"]


def test_serve_gives_up_no_earlier_than_the_engine() -> None:
    config = serve_config()
    engine = config["applications"][0]["args"]["engine"]
    assert config["http_options"]["request_timeout_s"] >= engine["longest_answer_s"] + 30


def test_build_app_makes_one_deployment_of_that_name() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    application = build_app(serve_config()["applications"][0]["args"])
    assert application._bound_deployment.name == "Chat"


def test_build_app_names_a_wrong_setting() -> None:
    with pytest.raises(SetupError, match=r"runner\.slotz"):
        build_app({"runner": {"slotz": 8}})


def test_derived_numbers_follow_the_command_line_on_one_machine() -> None:
    said = {"runner": {"slots": 32}, "engine": {"queue_length": 64, "longest_answer_s": 600}}
    config = load_serve_config(Options(settings=said), {})
    (application,) = config["applications"]
    (written,) = application["deployments"]
    options = deployment_options(load(application["args"]))
    effective = {**options, **written}
    for name in ("max_ongoing_requests", "max_queued_requests", "graceful_shutdown_timeout_s"):
        assert effective[name] == options[name], name
    target = options["autoscaling_config"]["target_ongoing_requests"]
    assert effective["autoscaling_config"]["target_ongoing_requests"] == target
    assert config["http_options"]["request_timeout_s"] == 630
