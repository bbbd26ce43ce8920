"""Masks of dropout as numbers: the randomness of a network is an input, so a sample is the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segmetry.errors import OptionError


def no_dropout(method: str, model: str) -> OptionError:
    """Return the error of samples that would all be the same."""
    return OptionError(
        f"{method}: the model {model} has no dropout to draw samples from; train it with a rate above 0, or leave "
        "samples out."
    )


def draw_keep(dropout: Sequence[tuple[int, float]], n: int, seed: int) -> np.ndarray:
    """Return random dropout masks: what each channel is multiplied by.

    Parameters
    ----------
    dropout : sequence of (channels, rate)
        Places of dropout in the order of the mask, as in a model's card.
    n : int
        Number of masks.
    seed : int
        Masks of one seed are a sequence: the first ten of twenty are those of ten.

    Returns
    -------
    keep : (n, K) array of float32
        0 with probability `rate`, else ``1 / (1 - rate)``, so that the mean is 1.

    Raises
    ------
    OptionError
        If `n` or `seed` is negative.

    Notes
    -----
    Made from the raw 64-bit words of PCG64, whose stream NumPy promises never to change, so the masks are the same with
    every version on every machine.

    Examples
    --------
    >>> draw_keep([(5, 0.5)], 2, seed=1)
    array([[2., 2., 0., 2., 0.], [0., 2., 0., 2., 0.]], dtype=float32)
    """
    if n < 0 or seed < 0:
        raise OptionError(f"dropout masks need a number and a seed from 0, got {n} and {seed}.")
    rates = np.repeat([rate for _, rate in dropout], [channels for channels, _ in dropout])
    dropped_below = np.array([int(rate * 2.0**64) for rate in rates], dtype=np.uint64)
    scale = np.array(1 / (1 - rates), dtype=np.float32)
    words = np.random.PCG64(seed).random_raw(n * len(rates)).reshape(n, len(rates))
    return np.where(words < dropped_below, np.float32(0), scale)
