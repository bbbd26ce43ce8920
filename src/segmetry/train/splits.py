"""Splits by group, so that images of one publication or specimen never stand on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def folds(groups: Sequence[str], n: int, *, seed: int = 0) -> np.ndarray:
    """Return the fold, 0 to n - 1, of each image.

    Parameters
    ----------
    groups : sequence of str
        Group of each image.
    n : int
        Number of folds.
    seed : int
        Order in which groups of equal size are dealt.

    Returns
    -------
    fold : (len(groups),) array of int
        Whole groups, dealt largest first to the fold with the fewest images.

    Examples
    --------
    >>> folds(["a", "a", "b", "c"], 2).tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
    True
    """
    names, which, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(names.size)
    order = order[np.argsort(-counts[order], kind="stable")]
    load, fold = np.zeros(n), np.zeros(names.size, int)
    for group in order:
        fold[group] = int(np.argmin(load))
        load[fold[group]] += counts[group]
    return fold[which]
