"""What all tests share: where the models and the larger networks lie, and how hypothesis searches."""

from __future__ import annotations

import os
from pathlib import Path

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
