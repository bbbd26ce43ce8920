"""Speed of segmenting, with the plain ways of scipy and scikit-image in the same run: one thread, processor time,
best of n.

OMP_NUM_THREADS=1 python benchmarks/segment.py [--quick]
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from scipy import ndimage

from segmetry.segment import segment
from segmetry.segment.ndnt import ndnt_mask
from segmetry.segment.split import split_touching
from timing import best_ms, machine

SEED = 0


def disks(shape: tuple[int, int], n: int, radius: tuple[float, float]) -> np.ndarray:
    """Return a noisy uint8 image of dark disks on an uneven background; some touch."""
    rng = np.random.default_rng(SEED)
    image = np.full(shape, 170, np.uint8)
    for _ in range(n):
        centre = (int(rng.integers(shape[1])), int(rng.integers(shape[0])))
        cv2.circle(image, centre, int(rng.uniform(*radius)), 80, -1)
    light = np.linspace(-15, 15, shape[1], dtype=np.float32)
    noise = rng.normal(0, 8, shape).astype(np.float32)
    return np.clip(cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1) + light + noise, 0, 255).astype(np.uint8)


def plain_ndnt(volume: np.ndarray, window: int, share: float) -> np.ndarray:
    """Return the dark side of NDNT with scipy in float64: sums and counts, so that the border is right too."""
    values = volume.astype(np.float64)
    sums = ndimage.uniform_filter(values, window, mode="constant")
    counts = ndimage.uniform_filter(np.ones_like(values), window, mode="constant")
    return values * counts <= (1 - share) * sums


def mirrored_ndnt(volume: np.ndarray, window: int, share: float) -> np.ndarray:
    """Return the dark side by one filter; the image is mirrored at its border, which is another definition."""
    values = volume.astype(np.float64)
    return values <= (1 - share) * ndimage.uniform_filter(values, window)


def plain_watershed(mask: np.ndarray) -> np.ndarray:
    """Return particles cut apart the usual way with scikit-image."""
    from skimage.morphology import h_maxima
    from skimage.segmentation import watershed

    distance = ndimage.distance_transform_edt(mask)
    seeds, _ = ndimage.label(h_maxima(distance, 0.75))
    return watershed(-distance, seeds, mask=mask)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller images, fewer runs")
    quick = parser.parse_args().quick
    cv2.setNumThreads(1)
    n = 2 if quick else 5
    print(f"{machine()}, seed {SEED}, best of {n}")

    print(
        "\nNDNT, dark side, share 0.15            ours ms   scipy exact border (ratio)   scipy mirrored (ratio)  differ"
    )
    rng = np.random.default_rng(SEED)
    flat, deep = ((1024, 1024), (128,) * 3) if quick else ((2048, 2048), (256,) * 3)
    for shape, window in ((flat, 65), (deep, 33)):
        for dtype in (np.uint8, np.uint16, np.float32):
            image = rng.integers(0, 256, shape).astype(dtype)
            sides = (window,) * image.ndim
            ours = best_ms(n, lambda image=image, sides=sides: ndnt_mask(image, window=sides))
            exact = best_ms(1, lambda image=image, window=window: plain_ndnt(image, window, 0.15))
            mirrored = best_ms(1, lambda image=image, window=window: mirrored_ndnt(image, window, 0.15))
            differ = np.count_nonzero(ndnt_mask(image, window=sides) != plain_ndnt(image, window, 0.15))
            title = f"{shape!s:16} {np.dtype(dtype).name:8} window {window:3}"
            peers = f"{exact:14.1f} ({exact / ours:5.1f}) {mirrored:18.1f} ({mirrored / ours:5.1f})"
            print(f"{title} {ours:10.1f} {peers} {differ:8}")

    print("\nmethods, from pixels to numbered particles            ms   Mpixel/s   particles")
    large = (1024, 1024) if quick else (4096, 4096)
    scenes = (
        ("512 x 680, 60 disks", disks((512, 680), 60, (8, 30))),
        (f"{large[0]} x {large[1]}, 6-40 px", disks(large, large[0] * large[1] // 6000, (6, 40))),
        (f"{large[0]} x {large[1]}, 6-14 px", disks(large, large[0] * large[1] // 1500, (6, 14))),
    )
    for title, image in scenes:
        for method in ("hybrid", "hybrid-literal", "local", "otsu"):
            elapsed = best_ms(n, lambda image=image, method=method: segment(image, method))
            found = segment(image, method).n_regions
            print(f"{title:34} {method:14} {elapsed:8.1f} {image.size / elapsed / 1e3:10.1f} {found:9}")

    mask = (disks((2048, 2048), 900, (8, 40)) < 125).view(np.uint8)
    ours = best_ms(n, lambda: split_touching(mask))
    plain = best_ms(1, lambda: plain_watershed(mask))
    print(
        f"\ncut touching, 2048 x 2048: ours {ours:.1f} ms, scikit-image h-maxima and watershed {plain:.1f} ms", end=" "
    )
    print(f"({plain / ours:.1f} times); particles {split_touching(mask).max()} and {plain_watershed(mask).max()}")


if __name__ == "__main__":
    main()
