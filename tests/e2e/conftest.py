"""One deployment for all tests of what a deployment does; those of its life and death make their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.local_deployment import LocalDeployment
from tests.support.ports import free_port

pytest.importorskip("ray", reason="Ray is not installed")

TWO_REPLICAS = (
    *("--set", "runner.slots=8", "--set", "engine.queue_length=8", "--set", "engine.longest_answer_s=300"),
    *("--set", "deployment.autoscaling_config={min_replicas: 2, max_replicas: 2}"),
    *("--set", "deployment.ray_actor_options={num_cpus: 0.5}"),
)


@pytest.fixture(scope="module")
def two_replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    """Two replicas of 8 slots and a queue of 8 each."""
    yield from _stand(LocalDeployment(tmp_path_factory.mktemp("cache"), free_port(), TWO_REPLICAS))


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[LocalDeployment]:
    """Nothing deployed yet; whatever a failing test leaves is removed."""
    deployment = LocalDeployment(tmp_path / "cache", free_port())
    try:
        yield deployment
    finally:
        deployment.destroy()


def _stand(deployment: LocalDeployment) -> Iterator[LocalDeployment]:
    try:
        deployed = deployment.deploy()
        assert deployed.returncode == 0, deployed.stderr
        yield deployment
    finally:
        deployment.destroy()
