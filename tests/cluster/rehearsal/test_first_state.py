from __future__ import annotations

import os

import pytest

from cluster.client import Api
from cluster.rehearsal import build, first_state
from cluster.rehearsal.control_plane import ControlPlane
from cluster.rehearsal.programs import CONTROL_PLANE
from cluster.settings import from_environment


@pytest.mark.cluster
def test_it_is_made_once_of_what_the_real_programs_made_of_the_crds(
    control_plane: ControlPlane,
) -> None:
    settings = from_environment()
    built = build.find(settings.cache_dir, [CONTROL_PLANE])
    state = first_state.of(built, settings.environment)
    before = os.stat(state).st_ino
    assert (state / "member" / "snap" / "db").is_file()
    assert os.stat(first_state.of(built, settings.environment)).st_ino == before
    # This control plane started on a copy of it, with certificates of its own.
    api = Api.connect(control_plane.admin_kubeconfig)
    assert api.resource("ray.io/v1", "RayService") is not None
    assert api.resource("karpenter.sh/v1", "NodePool") is not None
