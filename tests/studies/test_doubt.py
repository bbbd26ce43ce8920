"""The study of doubt: its tables on rows that can be counted."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.torch
pytest.importorskip("torch")

import doubt as study  # noqa: E402


def row(scores, right=None):
    numbers = {name: [1 - s for s in scores] for name in study.NUMBERS} | {"score": scores}
    return numbers | ({} if right is None else {"right": right})


def test_areas_under_the_curve_by_hand():
    rows = [row([0.9, 0.2], [True, False]), row([0.8, 0.85], [True, False]), row([0.1]), row([])]
    lines = list(study.particle_lines(rows))
    assert "false (2) from right (2)" in lines[0]
    assert "something else (1) from micrographs (2)" in lines[0]
    # Of the four pairs of a false and a right one, .85 and .8 stand the wrong way round.
    assert all("| 0.750 | 1.000 |" in line for line in lines[2:])
    assert len(lines) == 2 + len(study.NUMBERS)


def test_shares_of_false_and_missed_by_hand():
    rows = [{"drawn": [10, 8, 16], "edge": [10, 9, 16]}] * 3
    false, missed = list(study.scene_lines(rows))[2:]
    assert "| 0.2000 | 0.1000 | -0.1000 (-0.1000 to -0.1000) |" in false
    assert "| 0.5000 | 0.4375 | -0.0625 (-0.0625 to -0.0625) |" in missed
