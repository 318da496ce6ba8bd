from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.errors import Refused
from cluster.targets import Options
from cluster.targets.local.ray_head import MARGIN_S
from cluster.targets.local.serve_config import SERVE_FOLDER, application, argument, derived, load_serve_config, merge


def chat(config: Any) -> Any:
    (deployment,) = application(config)["deployments"]
    return deployment


def test_one_machine_listens_on_loopback_and_asks_for_no_accelerator() -> None:
    config = load_serve_config(Options(), {})
    assert config["http_options"]["host"] == "127.0.0.1"
    assert chat(config)["ray_actor_options"] == {"num_cpus": 1}


def test_what_local_does_not_say_is_the_one_serve_configs() -> None:
    config = load_serve_config(Options(), {})
    assert application(config)["import_path"] == "serving.app:build_app"
    assert chat(config)["autoscaling_config"]["target_ongoing_requests"] == 6


def test_the_command_line_has_the_last_word() -> None:
    config = load_serve_config(
        Options(8123, {"runner": {"kind": "simulated"}, "deployment": {"autoscaling_config": {"max_replicas": 5}}}),
        {},
    )
    assert config["http_options"]["port"] == 8123
    assert application(config)["args"]["runner"] == {"slots": 8, "positions": 2048, "kind": "simulated"}
    assert "deployment" not in application(config)["args"]
    assert chat(config)["autoscaling_config"]["max_replicas"] == 5
    assert chat(config)["autoscaling_config"]["min_replicas"] == 1


@pytest.mark.parametrize(
    ("base", "patch", "merged"),
    [
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ({"a": {"x": 1}}, {"a": {"y": 2}}, {"a": {"x": 1, "y": 2}}),
        ({"a": 1}, {"a": None}, {}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ([{"name": "x", "a": 1}], [{"name": "x", "b": 2}], [{"name": "x", "a": 1, "b": 2}]),
        ([{"name": "x"}], [{"name": "y"}], [{"name": "x"}, {"name": "y"}]),
        (None, {"a": 1}, {"a": 1}),
    ],
)
def test_merge(base: Any, patch: Any, merged: Any) -> None:
    assert merge(base, patch) == merged


def test_a_setting_is_found_as_the_chatbot_will_find_it() -> None:
    config = load_serve_config(Options(), {})
    environment = {"CHATBOT_RUNNER__KIND": "simulated", "CHATBOT_ENGINE__LONGEST_ANSWER_S": "7"}
    assert argument(config, "runner", "kind", environment=environment, default="openvino") == "simulated"
    assert argument(config, "runner", "kind", environment={}, default="openvino") == "openvino"
    assert argument(config, "engine", "longest_answer_s", environment=environment, default="1") == "300"


def test_derived_numbers_follow_the_environment_where_the_config_is_silent() -> None:
    silent = {"applications": [{"name": "chatbot", "args": {"engine": {"longest_answer_s": 50}}}]}
    environment = {"CHATBOT_RUNNER__SLOTS": "16", "CHATBOT_ENGINE__LONGEST_ANSWER_S": "7"}
    config = derived(silent, environment)
    assert chat(config)["autoscaling_config"]["target_ongoing_requests"] == 12
    assert config["http_options"]["request_timeout_s"] == 50 + MARGIN_S


@pytest.mark.parametrize(("group", "name"), [("runner", "slots"), ("engine", "longest_answer_s")])
def test_a_number_that_is_none_is_named(group: str, name: str) -> None:
    with pytest.raises(Refused, match=rf"{group}\.{name} must be a number, not 'many'"):
        load_serve_config(Options(settings={group: {name: "many"}}), {})


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", None])
def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "serve.yaml").write_text((SERVE_FOLDER / "serve.yaml").read_text())
    if content is not None:
        (tmp_path / "local.yaml").write_text(content)
    with pytest.raises(Refused, match=r"local\.yaml"):
        load_serve_config(Options(), {}, tmp_path)


def test_an_option_that_no_serve_deployment_has_is_refused() -> None:
    with pytest.raises(Refused, match=r"deployment\.autoscaling_conf: a Serve deployment has no such option"):
        load_serve_config(Options(settings={"deployment": {"autoscaling_conf": {}}}), {})
