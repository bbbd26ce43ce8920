"""Chance of each stage of a scene, all from its one seed.

A stage's place in the list is part of its seed, and the list's length part of the pilot's: a new stage goes to the end,
and even there it redraws the margins, so scenes change.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

_STAGES = ("sizes", "bodies", "number", "groups", "places", "contrast", "support", "surface", "noise", "annotations")


def stage_rng(seed: int, stage: str) -> np.random.Generator:
    """Return the generator of one stage, so that a change in one stage leaves the others' chance as it was."""
    return np.random.default_rng([abs(int(seed)), _STAGES.index(stage), int(seed < 0)])


def pilot_seed(seed: int) -> int:
    """Return the seed of another scene: for looking at sizes without looking at those of the scene itself."""
    return int(np.random.default_rng([abs(seed), len(_STAGES)]).integers(2**62))


def named_rng(seed: int, stage: str) -> np.random.Generator:
    """Return the generator of a stage by its name alone, for scenes whose list of stages may grow."""
    return np.random.default_rng([abs(int(seed)), zlib.crc32(stage.encode()), int(seed < 0)])


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a draw whose logarithm is uniform."""
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


def log_normal(rng: np.random.Generator, median: float, gsd: float) -> float:
    """Return a draw from the log-normal law of a median and a geometric standard deviation."""
    return median * math.exp(math.log(gsd) * rng.standard_normal())


def short(x: float) -> float:
    """Return a number with four digits, so that records read well."""
    return float(f"{x:.4g}")
