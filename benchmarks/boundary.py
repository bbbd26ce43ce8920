"""Time boundary F1 of two masks of 4096 x 4096 pixels at 2 px, and surface scores of an image and a volume.

Run: python benchmarks/boundary.py [--quick]

The other way to boundary F1 is two exact distance maps: those of OpenCV, edt and scipy are tried, and all have to give
the very same four counts. surface-distance and MONAI are no dependencies: they take part where they are installed. Each
gives the Hausdorff distance, its 95 % version, the mean distance and surface Dice. CPU time, one thread each.
"""

from __future__ import annotations

import argparse
import importlib.util
import warnings
from collections.abc import Callable

import cv2
import edt
import numpy as np
from scipy import ndimage
from threadpoolctl import threadpool_limits

from segmetry.evaluate.boundary import boundary_counts, object_boundary_counts
from segmetry.evaluate.surface import surface_scores
from segmetry.evaluate.topology import topology_scores
from timing import best, machine

threadpool_limits(1)
cv2.setNumThreads(1)
warnings.simplefilter("ignore")


def pair(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a mask with smooth borders, and one whose borders wander off by a few pixels."""
    rng = np.random.default_rng(seed)
    first, second = (ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), 6) for _ in range(2))
    first, second = first / first.std(), second / second.std()
    return first > 0.5, first + 0.3 * second > 0.5


def border(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of a mask that share a side with one outside."""
    inner = mask.copy()
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
    inner[:, 1:] &= mask[:, :-1]
    inner[:, :-1] &= mask[:, 1:]
    return mask & ~inner


def by_maps(truth: np.ndarray, prediction: np.ndarray, distance: Callable[[np.ndarray], np.ndarray]) -> list[int]:
    """Return the counts of boundary F1 at 2 px by two distance maps."""
    t, p = border(truth), border(prediction)
    near_t, near_p = (distance((~mask).view(np.uint8)) <= 2 for mask in (t, p))
    return [int(np.count_nonzero(mask)) for mask in (t, t & near_p, p, p & near_t)]


MAPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "cv2.distanceTransform, precise": lambda mask: cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE),
    "edt.edt": lambda mask: edt.edt(mask, parallel=1),
    "scipy distance_transform_edt": ndimage.distance_transform_edt,
}


def time_boundary(side: int, runs: int) -> None:
    truth, prediction = pair((side, side))
    boundary_counts(truth, prediction)
    found = [int(value[0]) for value in vars(boundary_counts(truth, prediction)).values()]
    base = best(lambda: boundary_counts(truth, prediction), 5 * runs)
    print(f"boundary F1 at 2 px, {side} x {side}")
    print(f"{'  segmetry, masks':44s} {base * 1e3:10.1f} ms")
    t, p = truth.astype(np.int32), prediction.astype(np.int32)
    object_boundary_counts(t, p)
    small = truth.astype(np.uint8), prediction.astype(np.uint8)
    for name, job in (
        ("  segmetry, uint8 labels, one class", lambda: boundary_counts(*small)),
        ("  segmetry, int32 labels, one class", lambda: boundary_counts(t, p)),
        ("  segmetry, int32 labels, all objects", lambda: object_boundary_counts(t, p)),
        ("  segmetry, masks, tolerance 10 px", lambda: boundary_counts(truth, prediction, tolerance=10)),
        ("  segmetry, masks, tolerance 43 px", lambda: boundary_counts(truth, prediction, tolerance=43)),
    ):
        print(f"{name:44s} {best(job, 3 * runs) * 1e3:10.1f} ms")
    for name, distance in MAPS.items():
        assert by_maps(truth, prediction, distance) == found, f"{name} counts otherwise"
        took = best(lambda distance=distance: by_maps(truth, prediction, distance), runs)  # type: ignore[misc]
        print(f"{'  ' + name:44s} {took * 1e3:10.1f} ms {took / base:8.1f} x")


def time_surface(shape: tuple[int, ...], runs: int) -> None:
    truth, prediction = pair(shape)
    base = best(lambda: surface_scores(truth, prediction), runs + 1)
    print(f"surface scores, {' x '.join(map(str, shape))}")
    print(f"{'  segmetry':44s} {base * 1e3:10.1f} ms")
    if importlib.util.find_spec("surface_distance"):
        import surface_distance as peer

        def other() -> None:
            distances = peer.compute_surface_distances(truth, prediction, (1.0,) * len(shape))
            peer.compute_robust_hausdorff(distances, 100)
            peer.compute_robust_hausdorff(distances, 95)
            peer.compute_average_surface_distance(distances)
            peer.compute_surface_dice_at_tolerance(distances, 2)

        took = best(other, runs)
        print(f"{'  surface-distance':44s} {took * 1e3:10.1f} ms {took / base:8.1f} x")
    if importlib.util.find_spec("monai"):
        import monai.metrics as metrics
        import torch

        torch.set_num_threads(1)
        t, p = (torch.tensor(mask)[None, None] for mask in (truth, prediction))

        def monai() -> None:
            metrics.compute_hausdorff_distance(p, t, include_background=True)
            metrics.compute_hausdorff_distance(p, t, include_background=True, percentile=95)
            metrics.compute_average_surface_distance(p, t, include_background=True, symmetric=True)
            metrics.compute_surface_dice(p, t, [2.0], include_background=True)

        took = best(monai, runs)
        print(f"{'  MONAI':44s} {took * 1e3:10.1f} ms {took / base:8.1f} x")
    took = best(lambda: topology_scores(truth, prediction), runs)
    print(f"{'  segmetry, topology scores':44s} {took * 1e3:10.1f} ms")


def concentric(ndim: int, small: float, large: float, n: int) -> None:
    """Print the mean surface distance of concentric discs or balls, whose true distance is known, by each library."""
    import monai.metrics as metrics
    import surface_distance as peer
    import torch

    rng = np.random.default_rng(int(large))
    shape = (2 * int(large) + 10,) * ndim
    rows = []
    for centre in np.array(shape) / 2 + rng.uniform(-0.5, 0.5, (n, ndim)):
        squares = sum((x - c) ** 2 for x, c in zip(np.ogrid[tuple(map(slice, shape))], centre))
        truth, prediction = squares <= small**2, squares <= large**2
        directions = peer.compute_average_surface_distance(
            peer.compute_surface_distances(truth, prediction, (1.0,) * ndim)
        )
        t, p = (torch.tensor(mask)[None, None] for mask in (truth, prediction))
        other = metrics.compute_average_surface_distance(p, t, include_background=True, symmetric=True).item()
        rows.append([surface_scores(truth, prediction)["mean_surface_distance"], *directions, other])
    means = "  ".join(f"{value:6.3f}" for value in np.mean(rows, axis=0))
    print(
        f"  {ndim}D, radii {small:g} and {large:g}: true {large - small:g}; ours, surface-distance (2), MONAI: {means}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1024 x 1024 pixels, a volume of 64^3, one run")
    options = parser.parse_args()
    runs = 1 if options.quick else 3
    print(machine())
    time_boundary(1024 if options.quick else 4096, runs)
    time_surface((512, 512), runs)
    time_surface((64,) * 3 if options.quick else (128,) * 3, runs)
    if all(map(importlib.util.find_spec, ("surface_distance", "monai"))):
        print("mean surface distance of concentric discs and balls")
        for small, large in ((20, 20.5), (5, 7), (20, 25), (50, 60)):
            concentric(2, small, large, 20)
        for small, large in ((20, 21), (20, 25)):
            concentric(3, small, large, 3)


if __name__ == "__main__":
    main()
