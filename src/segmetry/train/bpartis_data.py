"""Training samples of BPartIS: micrographs at 512 x 512, augmented as in the publication, by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image as Picture

from segmetry.errors import OptionError
from segmetry.segment.bpartis import SIDE, resize_bicubic, to_bytes
from segmetry.train.data import Example

JITTER = 0.3
"""Brightness and contrast change by factors of 1 plus or minus this."""

ZOOM_SHARE = 1 / 3
TILE_SHARE = 0.05


class Sample(NamedTuple):
    """Greys (512, 512) uint8 and labels (512, 512) int32, 0 background."""

    grey: np.ndarray
    labels: np.ndarray


def squeeze_example(example: Example) -> Sample:
    """Return an example at 512 x 512: greys bicubic, labels by the nearest pixel."""
    return Sample(resize_bicubic(to_bytes(example.pixels)), _resize_labels(example.labels.astype(np.int32)))


def augment(sample: Sample, rng: np.random.Generator) -> Sample:
    """Return a sample changed at random as in the publication.

    Parameters
    ----------
    sample : Sample
        Not changed.
    rng : Generator

    Notes
    -----
    In this order: flips along each axis (half of the samples each), quarter turns, brightness and contrast (factors
    in 0.7 to 1.3, in random order), a window of 256 x 256 enlarged to 512 x 512 (a third; drawn again where it holds
    only particle or only background), the whole at half size in all four quarters (one in twenty). Saturation and hue,
    which the publication varies too, do nothing to a grey image. What differs: each quarter's particles have numbers
    of their own.

    References
    ----------
    Yildirim and Cole, J. Chem. Inf. Model. 2021, 10.1021/acs.jcim.0c01455, and the code published with it.
    """
    grey, labels = sample
    for axis in (1, 0):
        if rng.random() < 0.5:
            grey, labels = np.flip(grey, axis), np.flip(labels, axis)
    turns = int(rng.integers(4))
    grey, labels = np.rot90(grey, turns), np.rot90(labels, turns)
    grey = _jitter(grey, rng)
    grey, labels = _zoom(grey, labels, rng)
    if rng.random() < TILE_SHARE:
        grey, labels = _tile(grey, labels)
    return Sample(np.ascontiguousarray(grey), np.ascontiguousarray(labels))


def _jitter(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return greys with another brightness and another contrast about their mean, each cut off at 0 and 255."""
    brightness, contrast = rng.uniform(1 - JITTER, 1 + JITTER, 2)
    changed = grey.astype(np.float32)
    for name in ("brightness", "contrast")[:: 1 if rng.random() < 0.5 else -1]:
        if name == "brightness":
            changed = changed * np.float32(brightness)
        else:
            mean = np.float32(np.rint(changed.mean(dtype=np.float64)))
            changed = mean + (changed - mean) * np.float32(contrast)
        changed = changed.clip(0, 255)
    return np.rint(changed).astype(np.uint8)


def _zoom(grey: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a window of half the side at twice the size, or the whole."""
    half = SIDE // 2
    while rng.random() < ZOOM_SHARE:
        row, col = rng.integers(SIDE - half + 1, size=2)
        window = labels[row : row + half, col : col + half]
        if (window > 0).any() and (window == 0).any():
            return resize_bicubic(grey[row : row + half, col : col + half]), _resize_labels(window)
    return grey, labels


def _tile(grey: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the image at half size in all four quarters."""
    half = SIDE // 2
    small, own = resize_bicubic(grey, half), _resize_labels(labels, half)
    step = int(own.max()) + 1
    quarters = [np.where(own > 0, own + k * step, 0) for k in range(4)]
    return np.tile(small, (2, 2)), np.block([quarters[:2], quarters[2:]]).astype(np.int32)


def _resize_labels(labels: np.ndarray, side: int = SIDE) -> np.ndarray:
    picture = Picture.fromarray(np.ascontiguousarray(labels, dtype=np.int32))
    return np.array(picture.resize((side, side), Picture.Resampling.NEAREST))


class PublishedSamples:
    """Samples by number: the same number gives the same sample, and every epoch takes each image once.

    Parameters
    ----------
    examples : sequence of Example
    seed : int
    """

    def __init__(self, examples: Sequence[Example], *, seed: int = 0) -> None:
        if not examples:
            raise OptionError("bpartis: there is no image to train on.")
        self.samples = [squeeze_example(e) for e in examples]
        self.seed = seed

    def draw(self, number: int) -> tuple[Sample, np.random.Generator]:
        """Return sample `number`, and the generator for what comes after."""
        epoch, place = divmod(number, len(self.samples))
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.samples))
        rng = np.random.default_rng([self.seed, 0, number])
        return augment(self.samples[order[place]], rng), rng
