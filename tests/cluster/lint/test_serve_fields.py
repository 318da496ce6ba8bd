"""The keys and values that lint takes for Serve's own, against the Serve that is installed."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from ray.serve import schema
from ray.serve.config import AutoscalingConfig

from cluster.lint.rules.serve_schema import FIELDS, RANGES

MODELS = {
    "config": schema.ServeDeploySchema,
    "application": schema.ServeApplicationSchema,
    "deployment": schema.DeploymentSchema,
    "ray_actor_options": schema.RayActorOptionsSchema,
    "http_options": schema.HTTPOptionsSchema,
    "autoscaling_config": AutoscalingConfig,
}


def test_the_known_keys_are_those_of_the_pinned_serve() -> None:
    assert {name: sorted(model.model_fields) for name, model in MODELS.items()} == {
        name: sorted(keys) for name, keys in FIELDS.items()
    }


@pytest.mark.filterwarnings("ignore:.*metrics_interval_s")
@pytest.mark.parametrize(("part", "key"), [(part, key) for part, keys in RANGES.items() for key in keys])
def test_a_value_is_refused_where_the_pinned_serve_refuses_it(part: str, key: str) -> None:
    values = ["many", "30s", "12 MiB", -2, -1, -0.5, 0, 0.5, 1, 2.5, 1_000_000, "3", 3.0, [1], {"a": 1}]
    model = MODELS[part]
    needed = {"name": "Chat"} if part == "deployment" else {}

    def accepted(value: Any) -> bool:
        # By itself, because bounds also have to agree with each other.
        wide = {"min_replicas": 0, "max_replicas": 2_000_000} if part == "autoscaling_config" else {}
        try:
            TypeAdapter(model).validate_python({**needed, **wide, key: value})
        except ValidationError:
            return False
        return True

    assert {repr(v): RANGES[part][key].holds(v) for v in values} == {repr(v): accepted(v) for v in values}
    assert all(RANGES[part][key].holds(v) for v in (None, True, "auto") if accepted(v))
