"""A trained classifier of pixels, and what it makes of an image, block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from segmetry.errors import ImageError
from segmetry.prepare.features import Features, Place, block_features, blocks, feature_names, levels_of
from segmetry.segment.forest import Forest
from segmetry.segment.neighbours import Neighbours

LEAST = 1e-3
"""Probabilities below are taken for this where a temperature is applied."""

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class PixelModel:
    """A classifier of pixels, what it looks at, and how good it seemed.

    Parameters
    ----------
    classifier : Forest or Neighbours
    features : Features
    axes : str
        ``"YX"`` or ``"ZYX"``.
    channels : int
        Channels of an image.
    classes : tuple of str
        Names, in the order of the class numbers.
    values : tuple of int
        What each class was painted with.
    temperature : float
        Logarithms of probabilities are divided by it; above 1 where the classifier is too sure.
    training : mapping
        Settings, seed, painted pixels and strokes of each class.
    scores : mapping
        Shares of painted pixels that came out right, by class, with how they were made; importances of features.
    notes : tuple of str
        What the user should know of the training.
    sha256 : str
        Of the folder that it was read from: its card, which names the hash of the arrays.
    """

    classifier: Forest | Neighbours
    features: Features
    axes: str
    channels: int
    classes: tuple[str, ...]
    values: tuple[int, ...]
    temperature: float = 1.0
    training: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    scores: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    notes: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features, in their order."""
        return feature_names(self.features, n_axes=len(self.axes), n_channels=self.channels)


def predict_blocks(
    model: PixelModel, channels: Any, *, spacing: Sequence[float] | None = None
) -> Iterator[tuple[Place, np.ndarray]]:
    """Yield the calibrated probabilities of the classes, block by block, and where each lies.

    Parameters
    ----------
    model : PixelModel
    channels : (C, M, N) or (C, P, M, N) array
        Finite; in memory or not: only blocks of it are read.
    spacing : tuple of float, optional
        Length of a pixel along each axis; only ratios count.

    Yields
    ------
    place : tuple of slices
    probability : (K, *sides) float32 array

    Raises
    ------
    ImageError
        If the image has other axes or channels than those that the model learned from.
    """
    n_channels, n_axes = channels.shape[0], len(channels.shape) - 1
    if n_axes != len(model.axes):
        raise ImageError(f"the classifier of pixels learned from {len(model.axes)}D images, this one is {n_axes}D.")
    if n_channels != model.channels:
        raise ImageError(
            f"the classifier of pixels learned from {model.channels} channel{'s' * (model.channels > 1)}, the image "
            f"has {n_channels}; give it the same, in the same order."
        )
    levels = levels_of(channels, model.features, spacing=spacing)
    for place in blocks(levels.shape):
        seen = block_features(levels, place)
        chance = model.classifier.probabilities(seen.reshape(len(seen), -1))
        yield place, tempered(chance, model.temperature).reshape(-1, *seen.shape[1:])


def tempered(probability: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities (K, n) whose logarithms are divided by a temperature; they sum to 1.

    Examples
    --------
    >>> tempered(np.array([[0.2], [0.8]]), 0.5).ravel().round(3)
    array([0.059, 0.941])
    """
    if temperature == 1:
        return probability
    raised = np.maximum(probability, LEAST) ** (1 / temperature)
    return raised / raised.sum(axis=0)
