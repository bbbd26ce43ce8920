"""Time every loss, forward and backward, on a batch of 4 images of 256 x 256 pixels and 4 maps.

Run: python benchmarks/losses.py [--quick]

Beside it stands the loss as people write it, in plain torch, without unknown pixels and weights; both have to give the
same value. CPU time of one thread. The maps are right but for noise, as they are in the middle of a training: a Lovász
loss sorts, and a persistence diagram is smaller, the smoother its map. Then the maps of weights of one such image.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from segmetry.train.losses import LOSSES
from segmetry.train.weight_maps import WEIGHT_MAPS, distance_target
from timing import best_ms, machine

SHAPE = (4, 4, 256, 256)


def scene() -> tuple[Tensor, Tensor]:
    """Return logits and truth: smooth regions of 4 classes."""
    rng = np.random.default_rng(0)
    score = ndimage.gaussian_filter(rng.normal(size=SHAPE), (0, 0, 6, 6))
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE), (0, 0, 1.5, 1.5))
    target = score.argmax(axis=1)
    logits = 60 * score + 8 * noise
    return torch.from_numpy(logits.astype(np.float32)), torch.from_numpy(target)


def one_hot(y: Tensor) -> Tensor:
    """Return (B, K, M, N)."""
    return functional.one_hot(y, SHAPE[1]).movedim(-1, 1).float()


def plain_focal(z: Tensor, y: Tensor) -> Tensor:
    """Return the focal loss."""
    ce = functional.cross_entropy(z, y, reduction="none")
    return ((1 - torch.exp(-ce)) ** 2 * ce).mean()


def plain_tversky(z: Tensor, y: Tensor, alpha: float = 0.5, beta: float = 0.5) -> Tensor:
    """Return the Tversky loss; Dice by default."""
    p, t = z.softmax(1), one_hot(y)
    tp, fp, fn = ((a * b).sum((0, 2, 3)) for a, b in ((p, t), (p, 1 - t), (1 - p, t)))
    return (1 - tp / (tp + alpha * fp + beta * fn)).mean()


def plain_unet_plus_plus(z: Tensor, y: Tensor) -> Tensor:
    """Return the loss of U-Net++ as printed."""
    p, t = z.softmax(1), one_hot(y)
    dice = 2 * (p * t).sum((2, 3)) / (p.sum((2, 3)) + t.sum((2, 3)))
    return -(0.5 * (t * z.log_softmax(1)).mean((2, 3)) + dice).mean()


def plain_lovasz(z: Tensor, y: Tensor) -> Tensor:
    """Return the Lovász softmax loss, one image and class after the other."""
    losses = []
    for p, t in zip(z.softmax(1), one_hot(y), strict=True):
        each = []
        for k in range(len(p)):
            errors, order = torch.sort((t[k] - p[k]).abs().flatten(), descending=True)
            hit = t[k].flatten()[order]
            jaccard = 1 - (hit.sum() - hit.cumsum(0)) / (hit.sum() + (1 - hit).cumsum(0))
            each.append((errors * torch.diff(jaccard, prepend=jaccard.new_zeros(1))).sum())
        losses.append(torch.stack(each).mean())
    return torch.stack(losses).mean()


def plain_cldice(z: Tensor, y: Tensor) -> Tensor:
    """Return the soft clDice loss, by pooling."""

    def erode(m: Tensor) -> Tensor:
        return -torch.maximum(
            functional.max_pool2d(-m, (3, 1), 1, (1, 0)), functional.max_pool2d(-m, (1, 3), 1, (0, 1))
        )

    def skeleton(m: Tensor) -> Tensor:
        out = functional.relu(m - functional.max_pool2d(erode(m), 3, 1, 1))
        for _ in range(10):
            m = erode(m)
            out = out + (1 - out) * functional.relu(m - functional.max_pool2d(erode(m), 3, 1, 1))
        return out

    p, t = z.softmax(1)[:, 1:], one_hot(y)[:, 1:]
    thin, thin_t = skeleton(p), skeleton(t)
    precision = ((thin * t).sum((0, 2, 3)) + 1) / (thin.sum((0, 2, 3)) + 1)
    recall = ((thin_t * p).sum((0, 2, 3)) + 1) / (thin_t.sum((0, 2, 3)) + 1)
    return (1 - 2 * precision * recall / (precision + recall)).mean()


PLAIN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": functional.cross_entropy,
    "squared-error": lambda z, y: functional.mse_loss(z.softmax(1), one_hot(y)),
    "focal": plain_focal,
    "dice": plain_tversky,
    "tversky": lambda z, y: plain_tversky(z, y, 0.3, 0.7),
    "unet++": plain_unet_plus_plus,
    "lovasz": plain_lovasz,
    "cldice": plain_cldice,
}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    n = 2 if parser.parse_args().quick else 7
    torch.set_num_threads(1)
    logits, target = scene()
    goal = torch.from_numpy(np.stack([distance_target(t) for t in target.numpy()]))
    print(f"{machine()}, torch {torch.__version__}, {SHAPE}, CPU ms of forward and backward, best of {n}")
    for name, kind in LOSSES.items():
        maps, extra = (
            (torch.cat([logits, logits[:, :1]], 1), {"distance": goal}) if name == "distance" else (logits, {})
        )
        maps = maps.clone().requires_grad_()

        def ours(kind=kind, maps=maps, extra=extra) -> Tensor:
            loss = kind(maps, target, **extra)
            loss.backward()
            return loss

        line = f"{name:14} {best_ms(n, ours):7.1f}"
        if name in PLAIN:

            def plain(loss=PLAIN[name], maps=maps) -> Tensor:
                value = loss(maps, target)
                value.backward()
                return value

            torch.testing.assert_close(ours(), plain(), rtol=1e-4, atol=1e-6)
            line += f"   plain {best_ms(n, plain):7.1f}"
        print(line)
    errors = torch.rand(16, 256 * 256)
    print(f"sort of 16 rows of 256 x 256 alone {best_ms(n, lambda: errors.sort(dim=1, descending=True)):.1f}")
    blobs = (target[0].numpy() == 1).astype(np.int64)
    for name, made in WEIGHT_MAPS.items():
        print(f"weights {name:10} {best_ms(n, lambda made=made: made.compute(blobs)):7.1f}")
    print(f"distance target    {best_ms(n, lambda: distance_target(blobs)):7.1f}")


if __name__ == "__main__":
    main()
