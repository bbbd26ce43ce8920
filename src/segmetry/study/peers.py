"""Peers: what networks are held against. They learn from the same images and are judged on the same held-out ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from segmetry.train.augment import IGNORED
from segmetry.train.samples import Labelled, Normalisation

PIXELS, TREES = 4000, 100
"""Pixels of each class that a forest learns from, and its trees."""

SIGMAS = (1.0, 16.0)
"""Least and largest scale of its features, px; one at each doubling."""

Predict = Callable[[Labelled], np.ndarray]
"""From an image to the probabilities (K, *S) of its classes."""


@dataclass(frozen=True)
class Peer:
    """A way to learn classes without a network.

    Parameters
    ----------
    name : str
    words : str
        What it is called in tables.
    fit : callable
        From training images, the number of classes and a seed to a `Predict`.
    """

    name: str
    words: str
    fit: Callable[[Sequence[Labelled], int, int], Predict]


def fit_forest(images: Sequence[Labelled], n_classes: int, seed: int) -> Predict:
    """Return a random forest that tells pixels apart by grey value, edges and texture at several scales.

    Features are those of scikit-image's trainable segmentation (`multiscale_basic_features`): Gaussian, gradient and
    the eigenvalues of the Hessian. Every class has the same number of pixels, drawn from all images that have it.
    """
    from sklearn.ensemble import RandomForestClassifier

    normalisation = Normalisation.measured(images)
    rng = np.random.default_rng(seed)
    n_with = [sum(bool((np.asarray(image.classes) == k).any()) for image in images) for k in range(n_classes)]
    pixels, targets = [], []
    for image in images:
        features, classes = _features(image, normalisation), np.asarray(image.classes).ravel()
        for k in np.unique(classes[classes != IGNORED]).tolist():
            places = np.flatnonzero(classes == k)
            drawn = rng.choice(places, min(places.size, PIXELS // n_with[k]), replace=False)
            pixels.append(features[drawn])
            targets.append(np.full(drawn.size, k))
    forest = RandomForestClassifier(TREES, random_state=seed).fit(np.concatenate(pixels), np.concatenate(targets))

    def predict(image: Labelled) -> np.ndarray:
        found = np.zeros((n_classes, image.classes.size), np.float32)
        found[forest.classes_] = forest.predict_proba(_features(image, normalisation)).T
        return found.reshape(n_classes, *image.classes.shape)

    return predict


def _features(image: Labelled, normalisation: Normalisation) -> np.ndarray:
    """Return the features (n, F) of every pixel."""
    from skimage.feature import multiscale_basic_features

    pixels = normalisation.apply(np.asarray(image.pixels))
    low, high = SIGMAS
    found = multiscale_basic_features(pixels, sigma_min=low, sigma_max=high, channel_axis=0)
    return found.reshape(-1, found.shape[-1])


PEERS: dict[str, Peer] = {p.name: p for p in (Peer("forest", "random forest", fit_forest),)}
"""Every peer by its name in a study's file."""
