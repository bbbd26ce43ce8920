"""Vessels, roots and fibres: what bends like a line, grown from where that is sure to where it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmetry.errors import OptionError
from segmetry.measure.labelling import keep_labels, label
from segmetry.options import option
from segmetry.prepare.vesselness import Vesselness, frangi, sato
from segmetry.segment.levels import multi_otsu_thresholds
from segmetry.segment.methods import Method, Scene
from segmetry.types import Segmentation
from segmetry.units import PIXEL

_SATO_LOW = 0.7
"""Share of the upper threshold down to which a vessel goes on under Sato's filter."""


@dataclass(frozen=True, kw_only=True)
class Vessels(Method):
    """Ridge measure over scales, two thresholds with hysteresis, and only what is long: connected networks as objects.

    Notes
    -----
    Without given thresholds Otsu's two for three classes of the response are taken: nothing, perhaps, surely. Sato's
    response to noise fills the class between, so there the lower one is .7 of the upper one. Where an image holds no
    vessel both cut the noise: look at the picture, or give thresholds of the series.

    Widths are those of the response, not of the grey: measure them where the edge matters.
    """

    name: ClassVar[str] = "vessels"
    summary: ClassVar[str] = (
        "lines and tubes by their bending over scales (Sato, Frangi), hysteresis, length, 2D and 3D"
    )
    ndims: ClassVar[tuple[int, ...]] = (2, 3)

    filter: str = option("frangi", "ridge measure: from 0 to 1, or in units of the grey", choices=("frangi", "sato"))
    polarity: str = option(
        "bright", "vessels are brighter or darker than what surrounds them", choices=("bright", "dark")
    )
    sigmas: tuple[float, ...] = option(
        (1.0, 2.0, 3.0), "standard deviations of the Gaussians; about .7 of the radii", unit="px", low=0.3, high=200
    )
    sigma_unit: str = option("px", "whether sigmas count pixels or are lengths", choices=("px", "calibrated"))
    low: float | None = option(None, "response down to which a vessel goes on; automatic", low=0, kind="float")
    high: float | None = option(None, "response that a vessel has somewhere; automatic", low=0, kind="float")
    min_size: int = option(30, "drop objects of fewer pixels (voxels)", unit="px", low=1)
    elongation: float = option(
        2.0, "drop objects that would be shorter than this many widths, were they as wide all along as at most", low=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigmas:
            raise OptionError("vessels: sigmas is empty; give one or more, such as sigmas=1,2,4.")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise OptionError(f"vessels: low ({self.low:g}) must not be above high ({self.high:g}).")

    def response(self, scene: Scene) -> Vesselness:
        """Return the vesselness of a scene, 0 where it is not valid."""
        if self.sigma_unit == "calibrated" and scene.unit == PIXEL:
            raise OptionError("sigmas are lengths but the pixel size is unknown; give it, or use sigma_unit=px.")
        spacing = scene.spacing if self.sigma_unit == "calibrated" else None
        find = sato if self.filter == "sato" else frangi
        found = find(scene.pixels, self.sigmas, polarity=self.polarity, spacing=spacing)
        if scene.valid is not None:
            found.response[~scene.valid] = 0
        return found

    def run(self, scene: Scene) -> Segmentation:
        """Return the vessels of a scene, connected ones as one object."""
        response = self.response(scene).response
        low, high = self.low, self.high
        if low is None or high is None:
            usable = response if scene.valid is None else response[scene.valid]
            classes = multi_otsu_thresholds(usable, 3) or (float(usable.max()),)
            sure = classes[-1] if high is None else high
            perhaps = classes[0] if self.filter == "frangi" else _SATO_LOW * sure
            low, high = (min(perhaps, sure), sure) if low is None else (low, max(sure, low))
        labels = label(response > low)
        reached = np.zeros(int(labels.max(initial=0)) + 1, bool)
        reached[labels[response > high]] = True
        labels = keep_labels(labels, reached)
        info = {"polarity": self.polarity, "low": low, "high": high, "n_before": int(labels.max(initial=0))}
        size = np.bincount(labels.ravel(), minlength=1)
        long = elongation(labels) >= self.elongation
        return Segmentation(keep_labels(labels, (size >= self.min_size) & long), "instance", info=info)


def elongation(labels: np.ndarray) -> np.ndarray:
    """Return for labels 0..L how many widths long an object would be, were it as wide all along as where it is widest.

    The area over the squared width, in 3D the volume over the cylinder as long as wide: 0.8 for a disk, 0.7 for a ball,
    length over width for a straight tube, and for a winding or branched one its whole length over its greatest width.

    Parameters
    ----------
    labels : (M, N) or (P, M, N) array of int32

    Examples
    --------
    >>> bar = np.zeros((9, 40), np.int32)
    >>> bar[3:6, 5:35] = 1
    >>> elongation(bar).round(1)
    array([ 0., 10.])
    """
    import edt

    n = int(labels.max(initial=0))
    size = np.bincount(labels.ravel(), minlength=n + 1).astype(float)
    # To the centre of the nearest pixel outside: half a pixel beyond the edge.
    radius = np.zeros(n + 1, np.float32)
    np.maximum.at(radius, labels.ravel(), edt.edt(labels, parallel=1).ravel())
    width = np.maximum(2.0 * radius - 1, 1)
    whole = width**2 if labels.ndim == 2 else np.pi / 4 * width**3
    return np.where(np.arange(n + 1) > 0, size / whole, 0.0)
