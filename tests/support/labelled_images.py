"""Labelled images to learn from, in memory and in two folders."""

from __future__ import annotations

import cv2
import numpy as np

from segmetry.train.augment import IGNORED
from segmetry.train.samples import Labelled


def bands(seed, shape=(70, 90), k=3):
    """Return bands of classes, each with a grey of its own, noise, and a corner that nobody labelled."""
    rng = np.random.default_rng(seed)
    classes = (np.add.outer(np.arange(shape[0]), np.arange(shape[1])) // 15 % k).astype(np.uint8)
    pixels = 100 + 30.0 * classes + rng.normal(0, 5, shape)
    classes[:10, :10] = IGNORED
    return Labelled(f"bands-{seed}", str(seed), pixels[None].astype(np.float32), classes)


def write_pairs(folder, pairs):
    """Write images and labels as a0.png, a1.png, ... into two folders, and return the options that name these."""
    for name, arrays in zip(("images", "labels"), zip(*pairs, strict=True), strict=True):
        (folder / name).mkdir()
        for i, array in enumerate(arrays):
            cv2.imwrite(str(folder / name / f"a{i}.png"), array)
    return ["--images", str(folder / "images"), "--labels", str(folder / "labels")]
