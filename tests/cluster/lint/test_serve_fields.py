"""The keys that lint takes for Serve's own, against the Serve that is installed."""

from ray.serve import schema
from ray.serve.config import AutoscalingConfig

from cluster.lint.rules.serve import FIELDS

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
