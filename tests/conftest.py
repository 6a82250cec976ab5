"""What all tests share: where the models and the larger networks lie, and how hypothesis searches."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# No deadline and no check of speed: the first call of a kernel compiles it, and a busy machine is no defect.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples at every run: what fails there can be repeated here.
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The models of this repository."""
    return ROOT / "models"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of larger networks, data and reference figures beside the repository; not every checkout has one."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the folder shared/ beside the repository, and there is none at {folder}")
    return folder


@pytest.fixture(scope="session")
def pcm_oracle(shared_dir: Path) -> dict[str, Any]:
    """Statistics of phase-change memory as another simulator, aihwkit 1.2.0, draws it."""
    path = shared_dir / "oracles" / "pcm_stats.json"
    if not path.is_file():
        pytest.skip(f"needs the reference figures {path}, and there are none")
    figures: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return figures
