"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Two test processes share the machine; kernels that tests start inherit this.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the book."""
    return ROOT
