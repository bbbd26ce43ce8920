"""What a network is given: greys in units of its training images, and the place in the image; and what it never saw."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segmetry.io.card import Card
from segmetry.segment.methods import Scene
from segmetry.units import METRES, PIXEL, best_unit, convert

FAR = 3.0
"""Pixels that are so many times smaller or larger than those the network learned from are a warning. Of the images
that the shipped network learned from, two in a hundred lie beyond its range, by up to a factor of 1.9: they are no
reason for one."""

STRANGE = 4.0
"""A mean grey so many standard deviations of the training images away from theirs, or a deviation so many times larger
or smaller, is a warning."""


def in_units(image: np.ndarray, mean: Sequence[float], sd: Sequence[float]) -> np.ndarray:
    """Return an image (C, ...) as float32 in standard deviations of the training images; 0 where it is not finite.

    Parameters
    ----------
    image : (C, ...) array
    mean, sd : sequence of float
        Of each channel over the training images.
    """
    shape = (-1,) + (1,) * (image.ndim - 1)
    means, sds = (np.asarray(v, np.float32).reshape(shape) for v in (mean, sd))
    return np.nan_to_num((np.asarray(image, np.float32) - means) / sds, copy=False, nan=0, posinf=0, neginf=0)


def coordinates(rows: np.ndarray, columns: np.ndarray, shape: Sequence[int], sides: Sequence[int]) -> np.ndarray:
    """Return row and column of pixels from -1 to 1, as two channels (2, *sides).

    Parameters
    ----------
    rows, columns : array
        Places in px, which broadcast to `sides`.
    shape : (M, N)
        Sides of the whole image.
    sides : sequence of int
        Of what is returned.
    """
    places = (2 * at / max(n - 1, 1) - 1 for at, n in zip((rows, columns), shape, strict=True))
    return np.stack([np.broadcast_to(place, sides) for place in places]).astype(np.float32)


def unlike_pixels(card: Card, scene: Scene) -> list[str]:
    """Return the warning of a pixel size far from the training range."""
    if card.pixel_size_range is None or scene.unit == PIXEL:
        return []
    low, high = card.pixel_size_range
    size = convert(math.prod(scene.spacing) ** (1 / len(scene.spacing)), scene.unit, "nm")
    if low / FAR <= size <= FAR * high:
        return []
    return [
        f"WARNING: a pixel is {_length(size)} long, the network learned from {_length(low)} to {_length(high)}: check "
        "the pixel size; if it is right, the image may be of another kind, so look at the overlay."
    ]


def unlike_greys(card: Card, scene: Scene) -> list[str]:
    """Return the warning of greys on another scale than those of the training images."""
    if card.normalisation["kind"] != "measured":
        return []
    notes = []
    learned = zip(card.normalisation["mean"], card.normalisation["sd"], strict=True)
    for number, (channel, (known_mean, known_sd)) in enumerate(zip(scene.channels, learned, strict=True), 1):
        usable = channel if scene.valid is None else channel[scene.valid]
        mean, sd = float(usable.mean(dtype=np.float64)), float(usable.std(dtype=np.float64))
        if abs(mean - known_mean) <= STRANGE * known_sd and known_sd / STRANGE <= sd <= known_sd * STRANGE:
            continue
        of = f" of channel {number}" if len(scene.channels) > 1 else ""
        notes.append(
            f"WARNING: the greys{of} are {mean:.4g} ± {sd:.2g}, the network learned from {known_mean:.4g} ± "
            f"{known_sd:.2g}: give it images of the same scale of grey, and look at the overlay."
        )
    return notes


def _length(nm: float) -> str:
    """Return a length in the unit in which it reads well."""
    unit = best_unit(nm * METRES["nm"])
    return f"{convert(nm, 'nm', unit):.3g} {unit}"
