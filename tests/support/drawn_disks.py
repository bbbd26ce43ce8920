"""Blurred disks with their true labels."""

from __future__ import annotations

import numpy as np


def disks(centres, radii, shape=(160, 200), *, background=150.0, particle=60.0, noise=4.0, seed=0):
    """Return a uint8 image of blurred disks and its true labels."""
    rng = np.random.default_rng(seed)
    i, j = np.mgrid[: shape[0], : shape[1]]
    image, labels = np.full(shape, background), np.zeros(shape, np.int32)
    for k, ((row, column), radius) in enumerate(zip(centres, radii), start=1):
        distance = np.hypot(i - row, j - column) - radius
        cover = 1 / (1 + np.exp(2 * distance))
        image += (particle - background) * cover * (labels == 0)
        labels[distance < 0] = k
    return np.clip(image + rng.normal(0, noise, shape), 0, 255).round().astype(np.uint8), labels


CENTRES = [(30, 30), (40, 110), (100, 60), (110, 150), (75, 175)]
RADII = [14, 17, 20, 16, 12]
