"""What Monte Carlo samples of a probability say: how much of the doubt more data could take away."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numba
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


class DoubtSum:
    """Samples of logits of one event per pixel, added up one at a time; only sums are kept.

    Examples
    --------
    Two samples that are sure of opposite things: all doubt is about the model.

    >>> sums = DoubtSum()
    >>> sums.add(np.array([-40.0]))
    >>> sums.add(np.array([40.0]))
    >>> sums.doubt().expected_entropy.round(3), sums.doubt().mutual_information.round(3)
    (array([0.], dtype=float32), array([0.693], dtype=float32))
    """

    def __init__(self) -> None:
        self._n, self._probability, self._entropy = 0, np.zeros(0), np.zeros(0)

    def add(self, logit: np.ndarray) -> None:
        """Add a sample; all are arrays of one shape."""
        if not self._n:
            self._probability, self._entropy = np.zeros((2, *logit.shape))
        self._n += 1
        _add(np.ascontiguousarray(logit).ravel(), self._probability.ravel(), self._entropy.ravel())

    def doubt(self) -> Doubt:
        """Return the doubt that the samples leave.

        Raises
        ------
        OptionError
            If there is no sample.
        """
        if not self._n:
            raise OptionError("doubt needs at least one sample.")
        parts = np.empty((4, *self._probability.shape), np.float32)
        _finish(self._probability.ravel(), self._entropy.ravel(), self._n, *(p.ravel() for p in parts))
        return Doubt(*parts)


def doubt_of(logits: Iterable[np.ndarray]) -> Doubt:
    """Return the doubt that samples of a logit leave, which are taken one at a time; see `DoubtSum`."""
    sums = DoubtSum()
    for logit in logits:
        sums.add(logit)
    return sums.doubt()


@numba.njit(cache=True, nogil=True)
def _entropy(rare):
    """Entropy of two outcomes by the probability of the less likely one."""
    rare = max(rare, NEAREST)
    return -(rare * math.log(rare) + (1 - rare) * math.log1p(-rare))


@numba.njit(cache=True, nogil=True)
def _add(logit, probability, entropy):
    """Add the probabilities of a sample's logits, and their entropies."""
    least = _entropy(NEAREST)
    for i in range(logit.size):
        x = np.float64(logit[i])
        odds = math.exp(-abs(x))
        rare = odds / (1 + odds)
        probability[i] += 1 - rare if x > 0 else rare
        # The entropy of the two in terms of the logit: a logarithm less.
        entropy[i] += math.log(1 + odds) + abs(x) * rare if rare > NEAREST else least


@numba.njit(cache=True, nogil=True)
def _finish(probability, entropy, n, mean, total, expected, information):
    """Write the four parts of `Doubt` from sums over n samples."""
    for i in range(probability.size):
        p = probability[i] / n
        whole, part = _entropy(min(p, 1 - p)), entropy[i] / n
        mean[i], total[i], expected[i], information[i] = p, whole, part, max(whole - part, 0.0)


def mean_over(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean of a map over each label 1..L, as (L,) array."""
    n = int(labels.max(initial=0)) + 1
    flat = labels.ravel()
    area = np.bincount(flat, minlength=n)
    return (np.bincount(flat, values.ravel(), minlength=n) / np.maximum(area, 1))[1:]
