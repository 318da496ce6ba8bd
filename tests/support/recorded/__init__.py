"""What a real Ray 2.60, a real run and the rehearsal lab left behind, kept as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def load(name: str) -> Any:
    """The recording `name`."""
    return json.loads((Path(__file__).parent / f"{name}.json").read_text("utf-8"))
