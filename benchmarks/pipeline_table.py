"""Time threshold to table (Otsu, labels, area, centroid, axes, perimeter) against other libraries, on one thread.

Run: python benchmarks/pipeline_table.py [--quick]

Every way starts from the uint16 image and ends with one number per object and measure. All of them must find the same
number of objects; the script stops if they do not. On 512 x 512 x 512, scikit-image's Otsu adds up its histogram in
float32, which misses the best threshold there; so every peer finds its own threshold (that is timed) and then labels
with the exact one.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from typing import Any

import cc3d
import cv2
import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops_table
from threadpoolctl import threadpool_limits

from segmetry.measure import measure_threshold, otsu_threshold

cv2.setNumThreads(1)
threadpool_limits(1)


def best(job: Callable[[], Any], n: int) -> tuple[float, Any]:
    """Return the least CPU time of n runs in seconds, and the last result."""
    times = []
    for _ in range(n):
        before = time.process_time()
        result = job()
        times.append(time.process_time() - before)
    return min(times), result


def ellipse_image(side: int, n: int) -> np.ndarray:
    """Return a uint16 image of n separate bright ellipses, blurred a little, with noise."""
    rng = np.random.default_rng(0)
    per_row = round(n**0.5)
    pitch = side / per_row
    image = np.zeros((side, side), np.float32)
    for row in range(per_row):
        for col in range(per_row):
            y, x = (row + 0.5) * pitch, (col + 0.5) * pitch
            a, b = rng.uniform(0.2, 0.38, 2) * pitch
            cv2.ellipse(image, ((x, y), (2 * a, 2 * b), rng.uniform(0, 180)), float(rng.uniform(0.8, 1.2)), -1)
    image = cv2.GaussianBlur(image, (0, 0), 1.0)
    image += rng.normal(0, 0.04, image.shape).astype(np.float32)
    return np.clip(10_000 + 20_000 * image, 0, 65535).astype(np.uint16)


def ball_volume(side: int, n: int) -> np.ndarray:
    """Return a uint16 volume of n separate bright balls with noise."""
    rng = np.random.default_rng(0)
    per_axis = round(n ** (1 / 3))
    pitch = side / per_axis
    grid = np.arange(side)
    cell = np.minimum((grid / pitch).astype(int), per_axis - 1)
    offset = (grid - (cell + 0.5) * pitch).astype(np.float32)
    radius = rng.uniform(0.25, 0.42, (per_axis,) * 3).astype(np.float32) * pitch
    volume = np.empty((side,) * 3, np.uint16)
    for z in range(side):
        squared = offset[z] ** 2 + offset[:, None] ** 2 + offset[None, :] ** 2
        inside = squared <= radius[cell[z]][cell][:, cell] ** 2
        noise = rng.normal(0, 800, inside.shape)
        volume[z] = np.clip(10_000 + 20_000 * inside + noise, 0, 65535)
    return volume


def with_opencv(image: np.ndarray, level: float) -> Any:
    """Best mix in 2D: OpenCV's Otsu and labels with statistics, contours for perimeter, moments for the axes."""
    found, mask = cv2.threshold(image, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    assert found == level
    mask = mask.astype(np.uint8)
    n, _, stats, centroids = cv2.connectedComponentsWithStats(mask, connectivity=8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    perimeter = [cv2.arcLength(c, True) for c in contours]
    moments = [cv2.moments(c) for c in contours]
    return n - 1, stats, centroids, perimeter, moments


def with_skimage(image: np.ndarray, level: float) -> Any:
    """The usual way."""
    names = ("area", "centroid", "axis_major_length", "axis_minor_length", "perimeter")
    threshold_otsu(image)
    table = regionprops_table(label(image > level), properties=names if image.ndim == 2 else names[:4])
    return len(table["area"]), table


def with_cc3d(image: np.ndarray, level: float) -> Any:
    """Best mix in 3D: counts by NumPy, labels and statistics by cc3d; no axes, no surface."""
    threshold_otsu(image)
    labels, n = cc3d.connected_components(image > level, connectivity=26, return_N=True)
    return n, cc3d.statistics(labels)


def with_scipy(image: np.ndarray, level: float) -> Any:
    """SciPy: labels, area and centroid only."""
    threshold_otsu(image)
    mask = image > level
    labels, n = ndimage.label(mask, np.ones((3,) * image.ndim))
    index = np.arange(1, n + 1)
    return n, ndimage.sum(mask, labels, index), ndimage.center_of_mass(mask, labels, index)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="1024 x 1024 and 128 x 128 x 128")
    args = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, one thread, CPU time")
    measures = ["area", "centroid", "axis_major_length", "axis_minor_length", "perimeter"]
    image = ellipse_image(1024, 1_225) if args.quick else ellipse_image(4096, 19_881)
    compete(image, measures, {"scikit-image": (with_skimage, 1), "OpenCV": (with_opencv, 5), "scipy": (with_scipy, 1)})
    volume = ball_volume(128, 343) if args.quick else ball_volume(512, 19_683)
    measures = ["volume", "centroid", "axis_major_length", "axis_minor_length", "surface_area"]
    compete(
        volume, measures, {"scikit-image (no surface)": (with_skimage, 1), "cc3d (no axes, no surface)": (with_cc3d, 3)}
    )


def compete(
    image: np.ndarray, measures: list[str], peers: dict[str, tuple[Callable[[np.ndarray, float], Any], int]]
) -> None:
    """Print the time of ours and of every peer."""
    measure_threshold(image[..., :64], measures=measures)  # compile
    level = otsu_threshold(image)
    ours, table = best(lambda: measure_threshold(image, measures=measures), 7)
    print(f"{' x '.join(map(str, image.shape))} {image.dtype}, {len(table)} objects, Otsu to table")
    print(f"  {'segmetry':32s} {ours * 1e3:9.1f} ms   best of 7")
    for name, (job, n) in peers.items():
        seconds, (count, *_) = best(lambda job=job: job(image, level), n)
        if count != len(table):
            raise SystemExit(f"{name} found {count} objects, segmetry {len(table)}: not the same job")
        print(f"  {name:32s} {seconds * 1e3:9.1f} ms   {seconds / ours:7.1f} x   best of {n}")


if __name__ == "__main__":
    main()
