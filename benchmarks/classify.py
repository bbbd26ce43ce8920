"""Time the features of pixels and the forest that runs on them against scikit-image and scikit-learn, on one thread.

Run: OMP_NUM_THREADS=1 python benchmarks/classify.py [--quick]

The image is noise of several widths, its classes are bands of the smoothed image. Features are timed per map, since
scikit-image has fewer kinds of them. The forests are the one that ships (`Training`) and larger ones; scikit-learn
predicts a part of the pixels, and its time is multiplied. Differences are the largest between probabilities.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
from scipy import ndimage
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier
from threadpoolctl import threadpool_limits

from segmetry.prepare.features import Features, image_features
from segmetry.segment.forest import forest_from
from segmetry.segment.scribbles import Training
from timing import best, machine

SEED = 0
PAINTED = 8000
"""Painted pixels."""


def peer(pixels: np.ndarray) -> np.ndarray:
    """Return scikit-image's features at the same scales."""
    return multiscale_basic_features(pixels, sigma_min=1, sigma_max=16, workers=1)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="512 x 512 and fewer runs")
    quick = parser.parse_args().quick
    cv2.setNumThreads(1)
    threadpool_limits(1)
    side, n = (512, 2) if quick else (1024, 4)
    rng = np.random.default_rng(SEED)
    noise = [s * ndimage.gaussian_filter(rng.normal(size=(side, side)), s) for s in (1, 3, 12)]
    image = sum(noise).astype(np.float32)
    ground = ndimage.gaussian_filter(image, 2)
    truth = np.digitize(ground, np.quantile(ground, [0.2, 0.5, 0.9]))
    print(f"{machine()}, one thread, processor time, seed {SEED}, {side} x {side}, best of {n}\n")

    settings = Training()
    print("| features of | by | maps | ms per map | ratio |\n| --- | --- | --- | --- | --- |")
    features = Features(first=1, scales=5)
    volume = rng.normal(size=(64, 96, 96)).astype(np.float32)
    for name, pixels in (("the image", image), ("a volume 64 x 96 x 96", volume)):
        n_ours = len(image_features(pixels, features))
        ours = best(lambda p=pixels: image_features(p, features), n) / n_ours * 1e3
        n_peer = peer(pixels).shape[-1]
        theirs = best(lambda p=pixels: peer(p), max(n // 2, 1)) / n_peer * 1e3
        print(f"| {name} | segmetry | {n_ours} | {ours:.2f} | 1 |")
        print(f"| | scikit-image | {n_peer} | {theirs:.2f} | {theirs / ours:.1f} |", flush=True)

    flat = image_features(image, settings.features).reshape(-1, image.size)
    painted = rng.choice(image.size, PAINTED, replace=False)
    print(
        f"\n{len(flat)} features, {PAINTED} painted pixels, 4 classes\n\n"
        "| trees | depth | nodes of a tree | Mpixel/s | scikit-learn | ratio | difference |\n"
        "| --- | --- | --- | --- | --- | --- | --- |"
    )
    for trees, depth, leaf in ((settings.trees, settings.depth, settings.leaf), (50, 10, 3), (100, 30, 1)):
        grown = RandomForestClassifier(trees, max_depth=depth, min_samples_leaf=leaf, random_state=SEED)
        grown.fit(flat.T[painted], truth.ravel()[painted])
        forest = forest_from(grown)
        part = np.ascontiguousarray(flat[:, ::16].T)
        apart = np.abs(forest.probabilities(flat[:, ::16]).T - grown.predict_proba(part)).max()
        fast = image.size / best(lambda f=forest: f.probabilities(flat), n) / 1e6
        slow = len(part) / best(lambda g=grown, x=part: g.predict_proba(x), max(n // 2, 1)) / 1e6
        nodes = len(forest.feature) / trees
        row = f"{trees} | {depth} | {nodes:.0f} | {fast:.2f} | {slow:.2f} | {fast / slow:.1f} | {apart:.0e}"
        print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main()
