"""The figures of docs/explanation/structures.md: drawn vessels, lines, helices, rings, tubes, and a bone in muscle.

Run: python studies/structures.py [vessels | lengths | bone]
"""

from __future__ import annotations

import math
import sys

import numpy as np
from scipy.ndimage import gaussian_filter

from drawn_tubes import curve, helix, tubes
from segmetry.measure.paths import path_length
from segmetry.measure.skeleton import skeleton_graph
from segmetry.segment.florin import Florin, tuned_share
from segmetry.segment.methods import Scene
from segmetry.segment.vessels import Vessels
from segmetry.types import Calibration

VESSELS = {
    2: ((200, 256), [((5, 5), (190, 240), 4), ((100, 120), (20, 200), 2.5), ((150, 30), (60, 180), 1.5)]),
    3: ((48, 64, 64), [((5, 5, 5), (40, 50, 55), 3), ((20, 25, 27), (5, 60, 20), 2), ((40, 5, 50), (30, 60, 10), 1.5)]),
}
HELICES = (
    ((30, 25, 2), 2, (1, 1, 1)),
    ((12, 20, 3), 2.5, (1, 1, 1)),
    ((20, 20, 2), 3, (1, 1, 1)),
    ((20, 20, 2), 3, (2, 1, 1)),
    ((20, 24, 2), 4, (0.5, 1, 1)),
    ((15, 24, 3), 4, (1, 1, 1)),
)


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * np.count_nonzero(found & truth) / (np.count_nonzero(found) + np.count_nonzero(truth))


def vessels() -> None:
    """Print the Dice coefficient of automatic thresholds, seed 0."""
    for ndim, drawn in VESSELS.items():
        mask = tubes(*drawn)
        for noise in (0.5, 20, 30):
            pixels = gaussian_filter(100.0 + 80 * mask, 0.7) + np.random.default_rng(0).normal(0, noise, mask.shape)
            scene = Scene(pixels.astype(np.float32), None, (1.0,) * ndim, "px")
            scores = [f"{f} {dice(Vessels(filter=f).run(scene).labels > 0, mask):.2f}" for f in ("frangi", "sato")]
            print(f"{ndim}D, noise {noise:g}: {', '.join(scores)}")


def lengths() -> None:
    """Print errors of lengths and radii: lines (seed 0), helices, rings, and tubes at random angles (seed 1)."""
    rng = np.random.default_rng(0)
    for n in (20, 50):
        errors, steps = [], []
        for _ in range(400):
            angle, col = rng.uniform(0, math.pi / 4), np.arange(n + 1)
            path = np.stack([np.round(col * math.tan(angle) + rng.uniform()), col], axis=1)
            errors.append(path_length(path) * math.cos(angle) / n - 1)
            steps.append(np.linalg.norm(np.diff(path, axis=0), axis=1).sum() * math.cos(angle) / n - 1)
        print(f"line of {n} px: {np.mean(errors):+.2%}, worst {np.abs(errors).max():.1%}; steps {np.mean(steps):+.1%}")
    for size, radius, spacing in HELICES:
        points, length = helix(*size)
        found = skeleton_graph(curve(points, radius, spacing), calibration=Calibration(spacing, "mm")).branches
        print(f"helix {size}, {radius}, {spacing}: {found.length.sum() / length - 1:+.2%}, {found.radius.mean():.2f}")
    for radius in (5, 8, 12, 20, 40):
        row, col = np.mgrid[: 2 * radius + 14, : 2 * radius + 14]
        ring = np.abs(np.hypot(row - radius - 6.3, col - radius - 6.6) - radius) <= 1.5
        errors = [skeleton_graph(ring, smoothing=m).branches.length.sum() / (2 * math.pi * radius) - 1 for m in (5, 8)]
        print(f"ring {radius}: smoothing 5 {errors[0]:+.1%}, 8 {errors[1]:+.1%}")
    rng = np.random.default_rng(1)
    for spacing in ((1, 1), (2, 1), (1, 1, 1), (3, 1, 1)):
        ndim = len(spacing)
        for radius in (2, 3, 5):
            wide = radius * max(spacing) ** 0.5
            errors, radii = [], []
            for _ in range(40 if ndim == 2 else 12):
                way = rng.normal(size=ndim)
                way *= 20 / np.linalg.norm(way)
                middle = 30 + rng.uniform(-0.5, 0.5, ndim) * spacing
                mask = tubes(tuple(60 // s for s in spacing), [(middle - way, middle + way, wide)], spacing)
                found = skeleton_graph(mask, calibration=Calibration(spacing, "mm")).branches
                errors.append(found.length.sum() / 40 - 1)
                radii.append(found.radius[found.length.idxmax()] - wide)
            print(
                f"tube {spacing}, radius {wide:.1f}: length {np.mean(errors):+.1%} ± {np.std(errors):.1%}, "
                f"radius {np.mean(radii):+.2f} ± {np.std(radii):.2f}"
            )


def bone() -> None:
    """Print Dice and volume of a bone with a dark shell in muscle, by given and by tuned share, seed 0."""
    shape, spacing = (40, 96, 96), (2.0, 0.8, 0.8)
    z, y, x = np.meshgrid(*[(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing)], indexing="ij")
    from_axis = np.hypot(y - 0.09 * z, x)
    pixels = np.where(np.hypot(y, x) < 34, 100.0, 8.0)
    pixels[from_axis < 10], pixels[from_axis < 6.5], truth = 20, 180, from_axis < 10
    pixels[np.hypot(y - 20, x + 6) < 2.5] = 30
    pixels = gaussian_filter(pixels, 0.6) + np.random.default_rng(0).normal(0, 6, shape)
    scene = Scene(pixels.astype(np.float32), None, spacing, "mm")
    method = Florin(
        share=0.3,
        window=32,
        window_unit="calibrated",
        closing=1.2,
        groups="bone: volume > 3000, volume < 30000",
        keep=1,
        inner=True,
    )
    tuned = tuned_share(method, scene, truth[20].astype(np.int32), plane=20)
    print(f"tuned share {tuned.method.share:g}, Dice of its slice {tuned.score:.4f}, {len(tuned.tried)} tried")
    volume = math.pi * 10**2 * shape[0] * spacing[0]
    for record in (method, tuned.method):
        found = record.run(scene).labels == 1
        print(
            f"share {record.share:g}: Dice {dice(found, truth):.4f}, "
            f"volume {np.count_nonzero(found) * math.prod(spacing) / volume - 1:+.2%}"
        )


if __name__ == "__main__":
    for part in sys.argv[1:] or ("vessels", "lengths", "bone"):
        {"vessels": vessels, "lengths": lengths, "bone": bone}[part]()
