"""The real small model, for tests marked `model`."""

from __future__ import annotations

import pytest

from serving.errors import SetupError
from serving.model.folder import ModelFolder
from serving.model.prepare import find
from serving.settings import ModelSettings


def prepared_model() -> ModelFolder:
    """The prepared default model; skips the test with the command to run when there is none."""
    pytest.importorskip("openvino", reason="the extra `cpu` is not installed")
    try:
        return find(ModelSettings())
    except SetupError as error:
        pytest.skip(str(error))
