"""The two usual rules for spots: a threshold on the distance from the median."""

from __future__ import annotations

import numpy as np

from segmetry.errors import OptionError
from segmetry.prepare.medians import disk, median3, window_median
from segmetry.prepare.spots import SIDES, Cleaned, usable_frame


def clean_median(frame: np.ndarray, *, threshold: float = 1000.0) -> Cleaned:
    """Return a frame whose pixels that are too far from the median of their 3 x 3 px hold that median.

    Parameters
    ----------
    frame : (M, N) array
        What is not finite is replaced too.
    threshold : float
        ``|f - median| > threshold`` is a spot, in units of the frame.

    References
    ----------
    A. Kaestner, Segmenting neutron images using machine learning, lecture, Paul Scherrer Institute, 2021: threshold
    1,000 counts.

    Examples
    --------
    >>> frame = np.full((3, 4), 10.0)
    >>> frame[1, 1] = 5000
    >>> cleaned, replaced = clean_median(frame)
    >>> float(cleaned[1, 1]), int(replaced.sum())
    (10.0, 1)
    """
    if not threshold >= 0:
        raise OptionError(f"clean_median: threshold must be at least 0, got {threshold:g}.")
    pixels, broken = usable_frame(frame, 3)
    median = median3(pixels)
    replaced = (np.abs(pixels - median) > threshold) | broken
    return Cleaned(np.where(replaced, median, pixels), replaced)


def remove_outliers(
    frame: np.ndarray, *, radius: float = 2.0, threshold: float = 50.0, which: str = "bright"
) -> Cleaned:
    """Return a frame cleaned by the rule of ImageJ's Remove Outliers.

    Parameters
    ----------
    frame : (M, N) array
        What is not finite is replaced too.
    radius : float
        Of the round window (`medians.disk`), px.
    threshold : float
        How far above the median of its window a pixel has to be (below it, for dark ones), in units of the frame.
    which : {"bright", "dark", "both"}
        ImageJ has the first two.

    References
    ----------
    Schneider, Rasband, Eliceiri, Nat. Methods 9, 671 (2012), doi:10.1038/nmeth.2089; ``RankFilters`` of ImageJ 1.x.

    Examples
    --------
    >>> frame = np.full((5, 6), 10.0)
    >>> frame[2, 2] = 90
    >>> int(remove_outliers(frame).replaced.sum()), int(remove_outliers(frame, which="dark").replaced.sum())
    (1, 0)
    """
    if which not in SIDES or not threshold >= 0 or not 0.5 <= radius <= 10:
        raise OptionError(
            f"remove_outliers: which is one of {', '.join(SIDES)}, threshold >= 0, radius from 0.5 to 10 px; got "
            f"{which!r}, {threshold:g}, {radius:g}."
        )
    window = disk(radius)
    pixels, broken = usable_frame(frame, len(window))
    median = window_median(pixels, window)
    above = pixels - median
    replaced = {"bright": above, "dark": -above, "both": np.abs(above)}[which] > threshold
    replaced |= broken
    return Cleaned(np.where(replaced, median, pixels), replaced)
