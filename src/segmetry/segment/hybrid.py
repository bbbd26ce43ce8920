"""Hybrid thresholding: the default way to find particles without training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import cv2
import numpy as np

from segmetry.measure.labelling import relabel
from segmetry.options import option
from segmetry.prepare.filters import box_mean, gaussian
from segmetry.prepare.noise import smoothed_noise
from segmetry.segment.edges import place_edges
from segmetry.segment.foreground import ByForeground, Found, View, number_regions
from segmetry.segment.levels import multi_otsu_thresholds, otsu_threshold, robust_range
from segmetry.segment.objects import (
    components,
    fill_holes,
    half_height,
    large_components,
    remove_small,
    typical_area,
)
from segmetry.segment.plausibility import cues, score, slope_of
from segmetry.segment.split import split_touching

SIDE = 1024
"""Candidates are compared on the middle of an image, of at most this side, reduced by two, in px."""
LARGE = 1 << 20
"""Histograms are of every k-th pixel along each axis where an image has at least k² times so many pixels."""


class Candidate(NamedTuple):
    """A rule for the foreground.

    `level` names the global threshold (a key of `global_levels`); `shift` moves it by a share of the contrast;
    `window` is the side of a box as a share of the image's shorter side, 0 for none: pixels must lie above its mean
    too, or, for the level ``"flat"``, its mean is subtracted first.
    """

    name: str
    level: str = "otsu"
    shift: float = 0.0
    window: float = 0.0


CANDIDATES = (
    Candidate("global"),
    Candidate("global, low", shift=-0.1),
    Candidate("global, high", shift=0.1),
    Candidate("global and local 1/8", window=1 / 8),
    Candidate("global and local 1/4", window=1 / 4),
    Candidate("global and local 1/2", window=1 / 2),
    Candidate("flattened 1/2", level="flat", window=1 / 2),
    Candidate("above the lowest of three classes", level="low"),
    Candidate("the highest of three classes", level="high"),
)
"""What `hybrid` tries on each image."""


class Levels(NamedTuple):
    """Global thresholds of an image by name, and its contrast."""

    by_name: dict[str, float]
    contrast: float


@dataclass(frozen=True, kw_only=True)
class Hybrid(ByForeground):
    """Global and local thresholds together, the combination chosen per image, each particle's edge fitted.

    1. Candidates: Otsu's threshold, also moved down and up by a tenth of the contrast; together with the mean of boxes
       of three sizes; after such a mean was subtracted; and the two thresholds of three classes.
    2. Each candidate is turned into particles on the image reduced by two, and the one whose particles are most
       plausible is taken: strong and smooth outlines, convex shapes, even sizes, a free frame
       (`segmetry.segment.plausibility`).
    3. In full resolution, the edge of every particle moves to half-way between its grey and that of its surroundings.
    4. Particles whose contrast is below the noise gate go; touching ones are cut; specks that are small beside the
       typical particle go.
    5. A model of a blurred edge is fitted to each particle's own profile, and its outline moves there: half-height
       lies 6 to 10 % inside the edge of a ball (`segmetry.segment.edges`).

    Notes
    -----
    `specks` drops what has less than 5 % of the area of the typical particle, that is 22 % of its diameter. In a
    log-normal distribution of geometric standard deviation 1.5 that is one particle in 500. Set it to 0 where
    the distribution is wider than that. What was dropped is noted, counted in `info["specks"]`, and part of
    the account `info["picking"]`; objects below `min_size` are not.
    """

    name: ClassVar[str] = "hybrid"
    summary: ClassVar[str] = "global and local thresholds, chosen per image, and fitted edges"

    smoothing: float = option(
        2.0, "standard deviation of the Gaussian for finding particles", unit="px", low=0, high=50
    )
    edge_smoothing: float = option(
        1.0, "standard deviation of the Gaussian for placing edges", unit="px", low=0, high=50
    )
    edges: str = option(
        "fitted",
        "where a particle ends: at the edge that fits its own profile, half-way between it and its surroundings, "
        "or at the threshold",
        choices=("fitted", "half-height", "threshold"),
    )
    noise_gate: float = option(0.6, "smallest contrast of a particle, in standard deviations of the noise", low=0)
    specks: float = option(0.05, "drop objects of less than this share of the typical particle's area", low=0, high=1)

    def foreground(self, view: View) -> Found:
        """Return the pixels of the most plausible candidate, with edges at half height."""
        levels = global_levels(view)
        judged = [score(c) for c in self.candidate_cues(view.pixels, levels)]
        best = CANDIDATES[int(np.argmax(judged))]
        mask = self.refined(best, view, levels)
        info = {
            "rule": best.name,
            "threshold": view.intensity(levels.by_name["otsu"]),
            "plausibility": {c.name: round(s, 4) for c, s in zip(CANDIDATES, judged, strict=True)},
        }
        return Found(mask, info)

    def refined(self, candidate: Candidate, view: View, levels: Levels) -> np.ndarray:
        """Return a candidate's mask in full resolution, with edges at half height and without what is only noise."""
        mask = self.tidy(candidate_mask(view.pixels, candidate, levels, min(view.pixels.shape)))
        move = self.edges != "threshold"
        if not move and self.noise_gate == 0:
            return remove_small(mask, self.min_size)
        smooth = gaussian(view.raw, self.edge_smoothing)
        labels = large_components(mask, self.min_size)
        # Twice: a first guess that is too large or too small shifts the mean greys, and with them the first edge.
        for _ in range(2 if move else 1):
            labels = half_height(smooth, labels, gate=self.noise_gate * view.noise, move=move)
        return (labels > 0).view(np.uint8)

    def outlines(self, view: View, labels: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        """Return the particles with their outlines on the fitted edges."""
        if self.edges != "fitted":
            return labels
        smooth = gaussian(view.raw, self.edge_smoothing)
        noise = view.noise * smoothed_noise(self.edge_smoothing)
        placed = place_edges(smooth, labels, noise=noise, valid=view.valid)
        info["edges"] = placed.info
        vanished = np.bincount(placed.labels.ravel(), minlength=int(labels.max()) + 1) == 0
        return relabel(placed.labels) if vanished[1:].any() else placed.labels

    def labels_of(self, candidate: Candidate, view: View, levels: Levels) -> np.ndarray:
        """Return the particles that one candidate leads to."""
        return self.objects_2d(self.refined(candidate, view, levels), {})

    def candidate_cues(self, smooth: np.ndarray, levels: Levels) -> list[np.ndarray]:
        """Return the cues of each candidate, on the middle of the image reduced by two."""
        middle = tuple(slice(max(0, (n - SIDE) // 2), max(0, (n - SIDE) // 2) + SIDE) for n in smooth.shape)
        small = np.ascontiguousarray(smooth[middle][::2, ::2])
        slope = slope_of(small)
        min_size = max(4, self.min_size // 4)
        out = []
        for candidate in CANDIDATES:
            mask = candidate_mask(small, candidate, levels, min(smooth.shape) / 2)
            out.append(cues(self.numbered(self.tidy(mask), min_size, {}), small, slope))
        return out

    def tidy(self, mask: np.ndarray) -> np.ndarray:
        """Return the mask with holes filled and without threads of one pixel."""
        if self.fill_holes:
            mask = fill_holes(mask)
        return cv2.morphologyEx(mask, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))

    def numbered(self, mask: np.ndarray, min_size: int, info: dict[str, Any]) -> np.ndarray:
        """Return the particles of a mask, cut apart and without specks."""
        labels = split_touching(mask) if self.split else components(mask).labels
        area = np.bincount(labels.ravel(), minlength=1)
        keep = area >= min_size
        keep[0] = False
        smallest = self.specks * typical_area(area[1:])
        specks = keep & (area < smallest)
        info["specks"] = {"n": int(specks.sum()), "smaller_than_px": float(smallest)}
        info["dropped_areas"] = area[specks].tolist()
        return number_regions(labels, keep & ~specks)

    def remarks(self, info: Mapping[str, Any]) -> tuple[str, ...]:
        """Return a note where specks were dropped."""
        specks = info["specks"]
        if not specks["n"]:
            return ()
        across = 2 * math.sqrt(specks["smaller_than_px"] / math.pi)
        what = "1 object" if specks["n"] == 1 else f"{specks['n']} objects"
        return (
            f"{what} smaller than {across:.0f} px across {'was' if specks['n'] == 1 else 'were'} dropped as specks "
            f"({100 * self.specks:g} % of the typical area); --set specks=0 keeps them",
        )

    def objects_2d(self, mask: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        """Return numbered particles of a mask."""
        return self.numbered(fill_holes(mask) if self.fill_holes else mask, self.min_size, info)


def global_levels(view: View) -> Levels:
    """Return the global thresholds that the candidates start from."""
    # Of a large image every second pixel or fewer: it is smoothed, and half a million pixels know its histogram.
    step = max(1, int(np.sqrt(view.pixels.size / LARGE)))
    every = (slice(None, None, step),) * 2
    pixels = np.ascontiguousarray(view.pixels[every])
    chosen = ... if view.valid is None else view.valid[every]
    flat = pixels - box_mean(pixels, int(min(pixels.shape) / 2) | 1)
    usable = pixels[chosen].ravel()
    if usable.size == 0:
        usable, chosen = pixels.ravel(), ...
    otsu = otsu_threshold(usable)
    three = multi_otsu_thresholds(usable, 3) or (otsu,)
    by_name = {"otsu": otsu, "low": three[0], "high": three[-1], "flat": otsu_threshold(flat[chosen])}
    return Levels(by_name, robust_range(usable))


def candidate_mask(pixels: np.ndarray, candidate: Candidate, levels: Levels, shorter: float) -> np.ndarray:
    """Return the mask (uint8) of a candidate's rule; `shorter` is the shorter side of the image in its pixels."""
    level = np.float32(levels.by_name[candidate.level] + candidate.shift * levels.contrast)
    if not candidate.window:
        return (pixels > level).view(np.uint8)
    mean = box_mean(pixels, int(candidate.window * shorter) | 1)
    if candidate.level == "flat":
        return (pixels - mean > level).view(np.uint8)
    return ((pixels > level) & (pixels > mean)).view(np.uint8)
