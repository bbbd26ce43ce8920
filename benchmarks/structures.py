"""Time vesselness, the persistence watershed and NDNT against other libraries and published formulas, on one thread.

Run: python benchmarks/structures.py [--quick]

m2py's watershed is written out here in plain Python, as it is there, and timed on 128 x 128; its time is multiplied by
the ratio of the areas, and the line says so. FLoRIN's threshold is written out in NumPy: cumulative sums, and the
signed sum of the 2^N corners of each window.
"""

from __future__ import annotations

import argparse
import itertools

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.filters import frangi as frangi_of_skimage
from skimage.filters import sato as sato_of_skimage
from threadpoolctl import threadpool_limits

from segmetry.prepare.vesselness import frangi, sato
from segmetry.segment.component_tree import component_tree
from segmetry.segment.ndnt import ndnt_mask
from timing import best, machine

cv2.setNumThreads(1)
threadpool_limits(1)

SIGMAS = (1.0, 2.0, 3.0)


def florin_ndnt(image: np.ndarray, window: tuple[int, ...], share: float) -> np.ndarray:
    """Return FLoRIN's mask: the dark side of a share of the mean over (i - r, i + r]."""
    sums = image.astype(np.float64)
    for axis in range(image.ndim):
        sums = np.cumsum(sums, axis=axis)
    ends = []
    for n, side in zip(image.shape, window, strict=True):
        at, r = np.arange(n), round(side / 2)
        ends.append((np.maximum(at - r, 0), np.minimum(at + r, n - 1)))
    total, count = np.zeros(image.shape), np.ones(image.shape)
    for corner in itertools.product((0, 1), repeat=image.ndim):
        places = np.ix_(*[ends[a][c] for a, c in enumerate(corner)])
        total += (-1) ** (image.ndim - sum(corner)) * sums[places]
    for axis, (low, high) in enumerate(ends):
        count *= (high - low).reshape([-1 if a == axis else 1 for a in range(image.ndim)])
    return image * count <= total * (1 - share)


def m2py_persistence(image: np.ndarray, threshold: float) -> tuple[np.ndarray, int]:
    """Return labels and their number as m2py's flooding gives them; 0 are the pixels between basins."""
    rows, cols = image.shape
    labels = np.full(image.shape, -1)
    saddles: dict[tuple[int, int], float] = {}
    births = [0.0]
    for place in np.argsort(-image, axis=None, kind="stable"):
        i, j = divmod(int(place), cols)
        near = {
            int(labels[a, b])
            for a in range(max(i - 1, 0), min(i + 2, rows))
            for b in range(max(j - 1, 0), min(j + 2, cols))
        } - {-1, 0}
        if not near:
            births.append(float(image[i, j]))
            labels[i, j] = len(births) - 1
        elif len(near) == 1:
            labels[i, j] = near.pop()
        else:
            labels[i, j] = 0
            for pair in itertools.combinations(sorted(near), 2):
                saddles[pair] = max(saddles.get(pair, -np.inf), float(image[i, j]))
    root = list(range(len(births)))

    def find(k: int) -> int:
        while root[k] != k:
            k = root[k]
        return k

    for (a, b), value in sorted(saddles.items(), key=lambda item: -item[1]):
        a, b = find(a), find(b)
        low, high = (a, b) if births[a] < births[b] else (b, a)
        if low != high and births[low] - value < threshold:
            root[low] = high
    table = np.array([find(k) for k in range(len(births))])
    return table[labels], len(np.unique(table[1:]))


def texture(shape: tuple[int, ...], sigma: float, seed: int) -> np.ndarray:
    """Return smooth noise of deviation 1, float32."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return (noise / noise.std()).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="half of each side")
    half = 2 if parser.parse_args().quick else 1
    print(f"{machine()}, one thread, CPU time")

    def show(name: str, seconds: float, ours: float, note: str) -> None:
        print(f"{name:52s} {seconds * 1e3:10.1f} ms   {seconds / ours:7.1f} x   {note}")

    side = 128 // half
    volume = texture((side,) * 3, 2, 0)
    inner = (slice(14, -14),) * 3
    for name, ours, theirs in (
        ("sato", sato, lambda: sato_of_skimage(volume, SIGMAS, black_ridges=False)),
        ("frangi", frangi, lambda: frangi_of_skimage(volume, SIGMAS, black_ridges=False)),
    ):
        ours(volume[:9, :9, :9], SIGMAS)  # compile
        seconds = best(lambda ours=ours: ours(volume, SIGMAS), 3)
        show(f"{name} {side}^3, {len(SIGMAS)} scales, segmetry", seconds, seconds, "best of 3")
        show(f"{name}, scikit-image", best(theirs, 1), seconds, "one run")
    for sigma in SIGMAS:
        here = sato(volume, (sigma,)).response[inner]
        there = sato_of_skimage(volume, (sigma,), black_ridges=False)[inner]
        print(
            f"    sato, sigma {sigma:g}: difference up to {np.abs(here - there).max() / there.max():.1e} of the maximum"
        )

    side = 2048 // half
    for name, image in (
        ("smooth, float32", texture((side, side), 1.5, 1)),
        ("smooth, uint16", np.clip(texture((side, side), 1.5, 1) * 6000 + 32768, 0, 65535).astype(np.uint16)),
        ("white noise, float32", texture((side, side), 0.0, 1)),
    ):
        component_tree(image[:9, :9])
        seconds = best(lambda image=image: component_tree(image), 3)
        tree = component_tree(image)
        show(f"persistence {side}^2, {name}, segmetry", seconds, seconds, f"best of 3, {tree.birth.size} maxima")
        again = best(lambda tree=tree, image=image: tree.labels(0.5 * float(image.std())), 3)
        show("    the labels of another threshold", again, seconds, "best of 3")
        crop = np.ascontiguousarray(image[:128, :128])
        threshold = 0.5 * float(image.std())
        plain = best(lambda crop=crop, threshold=threshold: m2py_persistence(crop, threshold), 1)
        show(
            "    m2py's formula in Python", plain * (side / 128) ** 2, seconds, f"128^2, times {(side / 128) ** 2:.0f}"
        )
        there, n = m2py_persistence(crop, threshold)
        lines = np.mean(there == 0)
        few = component_tree(crop)
        print(
            f"    regions of the 128^2: {few.count(threshold)}, m2py {n} with {lines:.0%} of the pixels on lines; "
            f"at threshold 0: {few.count(0)} maxima, m2py {m2py_persistence(crop, 0)[1]}"
        )

    side, window = 256 // half, (33, 33, 33)
    grey = np.clip(texture((side,) * 3, 2, 2) * 30 + 128, 0, 255).astype(np.uint8)
    ndnt_mask(grey[:9, :9, :9], window=window)
    ours = best(lambda: ndnt_mask(grey, window=window, share=0.15), 5)
    show(f"NDNT {side}^3 uint8, window 33, segmetry", ours, ours, "best of 5")
    show("florin's formula in NumPy", best(lambda: florin_ndnt(grey, window, 0.15), 2), ours, "best of 2")


if __name__ == "__main__":
    main()
