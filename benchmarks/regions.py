"""Time the region table of an 8192 x 8192 label image with 100,000 objects against other libraries, on one thread.

Run: python benchmarks/regions.py [--quick]

The slow peers run on a crop of the same image that holds a fraction of the objects; their time is multiplied by the
ratio of the areas, and the line says so. Our time is that of the whole call, from labels to data frame.
"""

from __future__ import annotations

import argparse

import cc3d
import cv2
import numpy as np
from scipy import ndimage
from skimage.measure import regionprops_table
from threadpoolctl import threadpool_limits

from segmetry.measure import measure, relabel
from timing import best, machine

cv2.setNumThreads(1)
threadpool_limits(1)

BASIC = ["area", "centroid", "bbox", "intensity_mean", "intensity_min", "intensity_max"]
FULL = [*BASIC, "axis_major_length", "axis_minor_length", "perimeter", "area_convex", "feret_max"]
PEER_BASIC = ("label", *BASIC)
PEER_FULL = (*PEER_BASIC, "axis_major_length", "axis_minor_length", "perimeter", "area_convex", "feret_diameter_max")


def ellipses(side: int, n: int, seed: int = 0) -> np.ndarray:
    """Return a label image of about n separate ellipses on a jittered grid, filling a little less than half."""
    rng = np.random.default_rng(seed)
    per_row = round(n**0.5)
    pitch = side / per_row
    labels = np.zeros((side, side), np.int32)
    centres = (np.stack(np.mgrid[:per_row, :per_row], -1).reshape(-1, 2) + 0.5) * pitch
    centres += rng.uniform(-0.05, 0.05, centres.shape) * pitch
    axes = rng.uniform(0.28, 0.42, centres.shape) * pitch
    angles = rng.uniform(0, 180, len(centres))
    for k, ((y, x), (a, b), angle) in enumerate(zip(centres, axes, angles), 1):
        cv2.ellipse(labels, ((x, y), (2 * a, 2 * b), angle), k, -1)
    return labels


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="2048 x 2048 with 6,250 objects")
    args = parser.parse_args()
    side, n = (2048, 6_250) if args.quick else (8192, 100_000)
    labels = ellipses(side, n)
    image = np.random.default_rng(1).integers(0, 4096, labels.shape, dtype=np.uint16)
    crop = side // 16
    small, small_image = relabel(labels[:crop, :crop]), image[:crop, :crop].copy()
    scale = (side / crop) ** 2
    print(f"{machine()}, one thread, CPU time")
    print(f"{side} x {side} int32 labels, {labels.max()} objects, uint16 intensities")

    measure(small, small_image, measures=FULL)  # compile
    ours_basic = best(lambda: measure(labels, image, measures=BASIC), 5)
    ours_full = best(lambda: measure(labels, image, measures=FULL), 5)
    ours_all = best(lambda: measure(labels, image), 2)
    print(f"segmetry, area centroid box intensity            {ours_basic * 1e3:10.0f} ms   best of 5")
    print(f"segmetry, + axes perimeter convex area Feret     {ours_full * 1e3:10.0f} ms   best of 5")
    print(f"segmetry, every measure                          {ours_all * 1e3:10.0f} ms   best of 2")

    def show(name: str, seconds: float, ours: float, note: str) -> None:
        print(f"{name:48s} {seconds * 1e3:10.0f} ms   {seconds / ours:7.1f} x   {note}")

    full = best(lambda: regionprops_table(small, small_image, properties=PEER_FULL), 2) * scale
    show("scikit-image, the full list", full, ours_full, f"best of 2 on {crop} x {crop}, times {scale:.0f}")
    basic = best(lambda: regionprops_table(small, small_image, properties=PEER_BASIC), 2) * scale
    show("scikit-image, the basic list", basic, ours_basic, f"best of 2 on {crop} x {crop}, times {scale:.0f}")
    index = np.arange(1, labels.max() + 1)
    some = index[: max(1, len(index) // 16)]

    def with_scipy() -> None:
        part, part_image = labels[: side // 16], image[: side // 16]
        ndimage.sum(part != 0, part, some)
        ndimage.mean(part_image, part, some)
        ndimage.minimum(part_image, part, some)
        ndimage.maximum(part_image, part, some)
        ndimage.center_of_mass(part != 0, part, some)
        ndimage.find_objects(part)

    show(
        "scipy.ndimage, the basic list", best(with_scipy, 2) * 16, ours_basic, "best of 2 on 1/16 of the rows, times 16"
    )
    unsigned = labels.view(np.uint32)
    show("cc3d.statistics: area, box, centroid", best(lambda: cc3d.statistics(unsigned), 3), ours_basic, "best of 3")


if __name__ == "__main__":
    main()
