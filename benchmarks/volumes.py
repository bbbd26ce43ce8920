"""Time what is measured of volumes against other libraries, on one thread.

Run: NUMBA_NUM_THREADS=1 python benchmarks/volumes.py [--side 512] [--quick]

Otsu, labelling and the table (volume, centroid, bounding box, mean intensity) of a volume of separate balls, from
intensities to data frame; local thickness of random blobs, where PoreSpy is installed; volume, surface and Euler number
of a mask. PoreSpy 3.2 changed its default to a brute force over whole radii; the default of before is `legacy` there.
"""

from __future__ import annotations

import argparse
import importlib.util
import warnings

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu
from skimage.measure import euler_number as euler_of_scikit_image
from skimage.measure import label as label_of_scikit_image
from skimage.measure import marching_cubes, mesh_surface_area, regionprops_table
from threadpoolctl import threadpool_limits

from segmetry.measure import label, measure, measure_threshold, otsu_threshold
from segmetry.measure.thickness import local_thickness
from segmetry.measure.topology import solid_of
from timing import best, machine

cv2.setNumThreads(1)
threadpool_limits(1)

BASIC = ["volume", "centroid", "bbox", "intensity_mean"]
PEER_BASIC = ("label", "area", "centroid", "bbox", "intensity_mean")


def balls(side: int, pitch: int = 19, seed: int = 0) -> np.ndarray:
    """Return a uint16 volume of noisy balls of random radius on a grid."""
    rng = np.random.default_rng(seed)
    axis = np.arange(side) % pitch - pitch // 2
    square = (axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2).astype(np.uint16)
    n = side // pitch + 1
    reach = rng.integers(16, 64, (n, n, n), dtype=np.uint16)
    cell = np.arange(side) // pitch
    out = np.empty((side,) * 3, np.uint16)
    for plane in range(side):
        inside = square[plane] <= reach[cell[plane]][cell][:, cell]
        out[plane] = 1000 + 1500 * inside + rng.integers(0, 400, (side, side), dtype=np.uint16)
    return out


def blobs(shape: tuple[int, ...], sigma: float, seed: int = 0) -> np.ndarray:
    """Return half of space, in blobs."""
    return gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma) > 0


def show(name: str, seconds: float, ours: float, note: str = "") -> None:
    """Print a line of the table."""
    print(f"  {name:52s} {seconds * 1e3:10.1f} ms {seconds / ours:8.1f} x  {note}")


def objects(side: int, n: int) -> None:
    """Time Otsu, labelling and table."""
    image = balls(side)

    def steps() -> None:
        measure(label(image > int(otsu_threshold(image))), image, measures=BASIC)

    def theirs() -> None:
        mask = image > threshold_otsu(image)
        regionprops_table(label_of_scikit_image(mask), image, properties=PEER_BASIC)

    table = measure_threshold(image, measures=BASIC)
    steps()
    print(f"Otsu, labelling, table of {side}^3 uint16, {len(table)} objects")
    mine = best(lambda: measure_threshold(image, measures=BASIC), n)
    show("segmetry, in one go", mine, mine, f"best of {n}")
    show("segmetry, with a label image", best(steps, n), mine, f"best of {n}")
    show("scikit-image", best(theirs, 1), mine, "once")


def thickness(shape: tuple[int, ...], sigma: float, n: int) -> None:
    """Time local thickness."""
    mask = blobs(shape, sigma)
    local_thickness(mask)
    print(f"local thickness of {' x '.join(map(str, shape))}, largest {local_thickness(mask).max():.0f} px")
    mine = best(lambda: local_thickness(mask), n)
    show("segmetry, every radius", mine, mine, f"best of {n}")
    if importlib.util.find_spec("porespy") is None:
        print("  PoreSpy is not installed")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import porespy

    porespy.settings.tqdm["disable"] = True
    methods = {"dt": "distance transforms", "bf": "brute force, default from 3.2", "legacy": "default before"}
    for method, what in methods.items():

        def job(method: str = method) -> None:
            porespy.filters.local_thickness(mask, method=method)

        job()
        show(f"PoreSpy {porespy.__version__} {method}: {what}", best(job, 2), mine, "best of 2")


def solids(side: int, n: int) -> None:
    """Time volume, surface and Euler number."""
    mask = blobs((side,) * 3, 4)
    solid_of(mask)

    def by_mesh() -> None:
        corners, faces, _, _ = marching_cubes(mask, 0.5)
        mesh_surface_area(corners, faces)

    print(f"volume, surface, Euler number of {side}^3")
    mine = best(lambda: solid_of(mask), n)
    show("segmetry, neighbourhoods of 2 x 2 x 2", mine, mine, f"best of {n}")
    show("scikit-image, marching cubes and area", best(by_mesh, 2), mine, "best of 2")
    show("scikit-image, Euler number", best(lambda: euler_of_scikit_image(mask, 3), 2), mine, "best of 2")


def main() -> None:
    """Run all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=512, help="of the volume of objects; 512 needs 6 GB")
    parser.add_argument("--quick", action="store_true", help="small volumes")
    args = parser.parse_args()
    print(f"{machine()}, one thread, CPU time")
    objects(160 if args.quick else args.side, 2)
    for shape, sigma in (((512, 512), 8.0), ((1024, 1024), 20.0), ((80, 80, 80), 4.0)):
        thickness(shape, sigma, 5)
    solids(128, 5)


if __name__ == "__main__":
    main()
