"""Fixtures that more than one test file uses."""

from __future__ import annotations

from pathlib import Path

import pytest

import realdata


@pytest.fixture(scope="session")
def emps() -> Path:
    """Folder of the EMPS training images; skips where it is missing."""
    path = realdata.folder("emps")
    if path is None:
        pytest.skip("the EMPS images are not here; set SEGMETRY_DATA to the folder that holds emps/")
    return path


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Torch on one thread: what is small here runs faster, and always the same."""
    if item.get_closest_marker("torch"):
        pytest.importorskip("torch").set_num_threads(1)
