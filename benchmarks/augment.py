"""Speed of drawing one training sample, with albumentations and torchvision in the same run where they are installed:
affine, elastic, gamma and noise on 256 x 256 px; one thread, processor time, best of n.

OMP_NUM_THREADS=1 python benchmarks/augment.py [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import cv2
import numpy as np

from segmetry.train.augment import AugmentOptions, apply_warp, change_greys, draw_warp
from timing import best_ms, machine

SIDE, N = 256, 16
OURS = AugmentOptions(rotate=1, elastic=1, gamma=1, noise=1, shade=0, blur=0)


def ours(images: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """Return the job with one warp."""
    rng = np.random.default_rng(0)

    def draw() -> None:
        for image, truth in zip(images, labels, strict=True):
            warp = draw_warp(rng, (SIDE, SIDE), (SIDE / 2, SIDE / 2), OURS)
            crop, _ = apply_warp(warp, image[None], truth, (0,))
            change_greys(crop[0], rng, OURS)

    return draw


def by_albumentations(images: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """Return the same by a chain of albumentations."""
    import albumentations as a

    chain = a.Compose(
        [
            a.HorizontalFlip(p=0.5),
            a.Affine(scale=(0.8, 1.25), rotate=(-45, 45), p=1),
            a.ElasticTransform(alpha=90, sigma=10, approximate=True, p=1),
            a.RandomGamma(p=1),
            a.GaussNoise(p=1),
        ]
    )
    scaled = [np.clip(image * 0.15 + 0.5, 0, 1) for image in images]

    def draw() -> None:
        for image, truth in zip(scaled, labels, strict=True):
            chain(image=image, mask=truth)

    return draw


def by_torchvision(images: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """Return the same by a chain of torchvision's second version."""
    import torch
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    chain = v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomAffine(45, scale=(0.8, 1.25)),
            v2.ElasticTransform(90.0, 10.0),
            v2.Lambda(lambda x: x.clamp(0, 1) ** 1.2 if x.dtype.is_floating_point else x),
            v2.GaussianNoise(),
        ]
    )
    pairs = [
        (tv_tensors.Image(torch.from_numpy(image)[None] * 0.15 + 0.5), tv_tensors.Mask(torch.from_numpy(truth)[None]))
        for image, truth in zip(images, labels, strict=True)
    ]

    def draw() -> None:
        for image, truth in pairs:
            chain(image, truth)

    return draw


def main() -> None:
    """Print a line per way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    n = 3 if parser.parse_args().quick else 15
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    images = [cv2.GaussianBlur(i, (0, 0), 3) * 10 for i in rng.standard_normal((N, SIDE, SIDE)).astype(np.float32)]
    labels = [(image > 0).astype(np.uint8) for image in images]
    print(f"{machine()}; {N} samples of {SIDE} x {SIDE}, each image and labels")
    base = 0.0
    for name, make in (("ours", ours), ("albumentations", by_albumentations), ("torchvision v2", by_torchvision)):
        try:
            ms = best_ms(n, make(images, labels))
        except ImportError:
            print(f"{name:16} not installed")
            continue
        base = base or ms
        print(f"{name:16} {ms / N:7.2f} ms a sample   {ms / base:5.1f} x")


if __name__ == "__main__":
    main()
