"""Pixels at borders see two materials at once: give each to the one that fills most of it."""

from __future__ import annotations

import itertools

import cc3d
import cv2
import numpy as np

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.measure.spectra import label_spectra, pixel_spectra

_LEAST_CORE = 12  # px


def merge_mixed(
    clusters: np.ndarray, counts: np.ndarray, open_beam: np.ndarray, *, reach: int = 2, dose_ratio: float = 1.0
) -> np.ndarray:
    """Return clusters in which pixels near a border, and whole clusters of such pixels, belong to their larger part.

    Parameters
    ----------
    clusters : (M, N) array of int
        Cluster of each pixel, 0 to K - 1; what is negative stays as it is.
    counts, open_beam : (T, M, N) arrays
        Neutrons with and without the specimen.
    reach : int
        How far penumbra and detector blur a border, px.
    dose_ratio : float
        As for `label_spectra`.

    Returns
    -------
    merged : (M, N) array of int32
        The same numbers; one that occurs at borders only does not occur any more.

    Raises
    ------
    ShapeMismatchError
        If clusters and cubes do not lie on each other.
    OptionError
        If `reach` is below 1.

    Notes
    -----
    A core is a connected piece of one cluster, at least 12 px, all further than `reach` from other clusters. A pixel
    that is in no core is a mixture of two cores at most 2 `reach` + 1 away, T = w T1 + (1 - w) T2: transmissions add
    up, attenuations do not. Weighted least squares gives w for each pair of cores near it; the pair that fits best
    decides, and of that the core with the larger share. A pixel far from any core keeps its cluster: what is
    thinner than twice the reach has no core, and is left alone where cores are further away.
    """
    clusters = np.asarray(clusters)
    if clusters.shape != counts.shape[1:]:
        raise ShapeMismatchError(f"clusters {clusters.shape} do not lie on frames {counts.shape[1:]}; crop them alike.")
    if reach < 1:
        raise OptionError(f"the reach of a border is at least 1 px, got {reach}.")
    cores, own = _cores(clusters, reach)
    out = clusters.astype(np.int32)
    if own.size < 2:
        return out
    spectra = label_spectra(counts, cores, open_beam, dose_ratio=dose_ratio)
    ends = np.nan_to_num(spectra.transmission)
    side = 2 * (2 * reach + 1) + 1
    near = np.stack(
        [cv2.dilate((cores == k + 1).view(np.uint8), np.ones((side, side), np.uint8)) for k in range(own.size)]
    )
    mixed = (cores == 0) & (clusters >= 0)
    row, col = np.nonzero(mixed)
    near = near[:, row, col].astype(bool)
    one = pixel_spectra(counts, mixed, open_beam, dose_ratio=dose_ratio)
    seen = np.nan_to_num(one.transmission)
    weight = np.nan_to_num(1 / one.transmission_error**2)
    misfit, chosen = np.full(row.size, np.inf), out[row, col]
    alone = near.sum(0) == 1
    chosen[alone] = own[near[:, alone].argmax(0)]
    for a, b in itertools.combinations(range(own.size), 2):
        at = near[a] & near[b]
        if not at.any():
            continue
        step = ends[a] - ends[b]
        w, y = weight[at], seen[at] - ends[b]
        share = np.clip(w * y @ step / np.maximum(w @ step**2, 1e-300), 0, 1)
        left = (w * (y - share[:, None] * step) ** 2).sum(1)
        better = left < misfit[at]
        place = np.flatnonzero(at)[better]
        misfit[place] = left[better]
        chosen[place] = np.where(share[better] > 0.5, own[a], own[b])
    out[row, col] = chosen
    return out


def _cores(clusters: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cores, numbered from 1, and the cluster of each."""
    side = 2 * reach + 1
    cores, own = np.zeros(clusters.shape, np.int32), []
    for k in np.unique(clusters[clusters >= 0]):
        inner = cv2.erode((clusters == k).view(np.uint8), np.ones((side, side), np.uint8), borderValue=1)
        pieces = cc3d.connected_components(inner, connectivity=8)
        for piece in np.flatnonzero(np.bincount(pieces.ravel())[1:] >= _LEAST_CORE) + 1:
            own.append(int(k))
            cores[pieces == piece] = len(own)
    return cores, np.array(own, np.int32)
