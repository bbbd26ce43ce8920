"""What Monte Carlo samples of a probability say: how much of the doubt more data could take away."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from segmetry.errors import OptionError

NEAREST = 1e-6
"""Probabilities are kept so far from 0 and 1."""


class Doubt(NamedTuple):
    """Doubt about one event (particle or background) per pixel, from samples of its probability.

    Parameters
    ----------
    probability : float32 array
        Mean over the samples.
    entropy : float32 array
        Predictive entropy, that of the mean: all of the doubt, in nats.
    expected_entropy : float32 array
        Mean of the samples' entropies: the aleatoric part, which is in the image.
    mutual_information : float32 array
        The difference: the epistemic part, which is in the model; more training data would lower it.

    References
    ----------
    Houlsby et al., 2011, arXiv:1112.5745; Gal, Islam and Ghahramani, ICML 2017, arXiv:1703.02910.
    """

    probability: np.ndarray
    entropy: np.ndarray
    expected_entropy: np.ndarray
    mutual_information: np.ndarray


def binary_entropy(p: np.ndarray) -> np.ndarray:
    """Return the entropy in nats of outcomes of probability `p`.

    Examples
    --------
    >>> binary_entropy(np.array([0.5, 0.1])).round(3)
    array([0.693, 0.325])
    """
    p = np.clip(p, NEAREST, 1 - NEAREST)
    return -(p * np.log(p) + (1 - p) * np.log1p(-p))


def doubt_of(samples: Iterable[np.ndarray]) -> Doubt:
    """Return the doubt that samples of a probability leave.

    Parameters
    ----------
    samples : iterable of arrays, all of one shape
        Probabilities; they are taken one at a time.

    Raises
    ------
    OptionError
        If there is no sample.

    Examples
    --------
    Two samples that are sure of opposite things: all doubt is about the model.

    >>> sure = doubt_of([np.array([0.0]), np.array([1.0])])
    >>> sure.expected_entropy.round(3), sure.mutual_information.round(3)
    (array([0.], dtype=float32), array([0.693], dtype=float32))
    """
    n, probability, expected = 0, np.zeros(()), np.zeros(())
    for p in samples:
        n, probability, expected = n + 1, probability + p, expected + binary_entropy(p)
    if n == 0:
        raise OptionError("doubt_of needs at least one sample.")
    mean = probability / n
    entropy, expected = binary_entropy(mean), expected / n
    parts = mean, entropy, expected, np.maximum(entropy - expected, 0)
    return Doubt(*(np.asarray(a, np.float32) for a in parts))


def mean_over(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean of a map over each label 1..L, as (L,) array."""
    n = int(labels.max(initial=0)) + 1
    flat = labels.ravel()
    area = np.bincount(flat, minlength=n)
    return (np.bincount(flat, values.ravel(), minlength=n) / np.maximum(area, 1))[1:]
