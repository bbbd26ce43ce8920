"""What may make an object hard to find, or an image hard to segment: contrast, size, form, crowding, noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from segmetry.errors import OptionError
from segmetry.evaluate.pair import check_pair
from segmetry.measure.table import measure

if TYPE_CHECKING:
    import pandas as pd

NEAR = 2
"""Pixels of background that may lie between neighbours."""

_COLUMNS = ("equivalent_diameter", "contrast", "contrast_relative", "contrast_to_noise", "aspect_ratio", "circularity")


def object_properties(truth: np.ndarray, pixels: np.ndarray, *, ignore: int | np.ndarray | None = None) -> pd.DataFrame:
    """Return what may make an object hard to find, one row per true object, in pixels and grey levels.

    Parameters
    ----------
    truth : (M, N) array of int
        Label image; 0 is background.
    pixels : (M, N) array
        The image.
    ignore : int or (M, N) array of bool, optional
        As for `check_pair`.

    Returns
    -------
    table : DataFrame
        ``label``; ``equivalent_diameter`` (px); ``contrast``, the mean inside minus that of the ring around it
        (`segmetry.measure`), without its sign; ``contrast_relative``, that over the sum of both means;
        ``contrast_to_noise``, that over the ring's standard deviation; ``aspect_ratio``; ``circularity``;
        ``neighbours``, other objects with at most 2 px of background between; ``touches_edge``. Contrasts are nan where
        an object has no free surroundings.

    Raises
    ------
    OptionError
        For a volume.
    """
    labels, _, ignored = check_pair(truth, truth, ignore=ignore)
    if labels.ndim != 2:
        raise OptionError("object_properties: these are properties of images; for volumes use segmetry.measure.")
    if ignored is not None:
        labels = np.where(ignored, 0, labels)
    table = measure(
        labels,
        pixels,
        measures=[*(c for c in _COLUMNS if c != "contrast_relative"), "intensity_mean", "touches_edge"],
        ignore=ignored,
    )
    contrast = table["contrast"].to_numpy(float)
    inside = table.pop("intensity_mean").to_numpy(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.abs(contrast) / np.abs(2 * inside - contrast)
    table["contrast"] = np.abs(contrast)
    table["contrast_relative"] = np.where(np.isfinite(relative), relative, np.nan)
    table["contrast_to_noise"] = table["contrast_to_noise"].abs()
    table["neighbours"] = _neighbours(labels, table["label"].to_numpy())
    return table[["label", *_COLUMNS, "neighbours", "touches_edge"]]


def _neighbours(labels: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Return for each object how many others have a pixel within `NEAR` + 1 px of one of its own."""
    reach = NEAR + 1
    padded = np.pad(labels, reach)
    width = padded.shape[1]
    flat = padded.ravel()
    inner = padded[1:-1, 1:-1]
    edge = (inner != padded[:-2, 1:-1]) | (inner != padded[2:, 1:-1])
    edge |= (inner != padded[1:-1, :-2]) | (inner != padded[1:-1, 2:])
    rows, columns = np.nonzero(edge & (inner > 0))
    at = (rows + 1) * width + columns + 1
    own = flat[at].astype(np.int64)
    pairs = []
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if 0 < dy * dy + dx * dx <= reach * reach:
                other = flat[at + dy * width + dx]
                near = (other > 0) & (other != own)
                pairs.append(own[near] << 32 | other[near])
    found = np.unique(np.concatenate(pairs)) >> 32
    counts = np.searchsorted(found, names, "right") - np.searchsorted(found, names, "left")
    return counts.astype(np.int64)


def image_properties(
    truth: np.ndarray,
    pixels: np.ndarray,
    *,
    ignore: int | np.ndarray | None = None,
    objects: pd.DataFrame | None = None,
) -> dict[str, float]:
    """Return what may make an image hard to segment, in pixels and grey levels.

    Parameters
    ----------
    truth, pixels, ignore
        As for `object_properties`.
    objects : DataFrame, optional
        What `object_properties` gave, where it is there already.

    Returns
    -------
    properties : dict of str to float
        Medians over the objects of the numbers of `object_properties`; ``n_objects``; ``crowding``, the share of
        objects that have a neighbour; ``covered``, the share of the judged pixels that objects cover; ``noise``, the
        noise of the background (`segmetry.prepare.noise_sigma`). nan where there are no objects, or no background.
    """
    from segmetry.prepare.noise import noise_sigma

    table = object_properties(truth, pixels, ignore=ignore) if objects is None else objects
    labels, _, ignored = check_pair(truth, truth, ignore=ignore)
    judged = np.ones(labels.shape, bool) if ignored is None else ~ignored
    background = judged & (labels == 0)
    found = {name: _median(table[name].to_numpy(float)) for name in _COLUMNS}
    found["n_objects"] = float(len(table))
    found["crowding"] = float(np.mean(table["neighbours"] > 0)) if len(table) else math.nan
    found["covered"] = float(np.mean(labels[judged] > 0)) if judged.any() else math.nan
    noise = math.nan
    if background[::3, ::3].any():
        noise = noise_sigma(np.asarray(pixels, np.float32), valid=background)
    return found | {"noise": noise}


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else math.nan
