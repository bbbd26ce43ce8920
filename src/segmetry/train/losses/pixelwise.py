"""Losses that are a mean over pixels: cross-entropy, focal, squared error."""

from __future__ import annotations

import torch
from torch import Tensor

from segmetry.train.losses.batch import Batch


def cross_entropy(batch: Batch) -> Tensor:
    """Return the mean cross-entropy in nats: ``sum(w ce) / sum(w)``, w the pixel's weight times its class's."""
    return batch.pixel_mean(batch.cross_entropy)


def focal(batch: Batch, *, gamma: float = 2.0) -> Tensor:
    """Return the mean of ``-(1 - p)^gamma log p``, p the probability of the true class.

    Notes
    -----
    The source's alpha of class 1 is ``class_weight = (1 - alpha, alpha)``. It divides by the number of objects, we by
    the sum of weights. At gamma 0 this is the cross-entropy.

    References
    ----------
    Lin et al., ICCV 2017, 10.1109/ICCV.2017.324.
    """
    ce = batch.cross_entropy
    # 1 - p without cancellation. Not quite 0, where a gamma below 1 has no slope.
    wrong = (-torch.expm1(-ce)).clamp(min=torch.finfo(ce.dtype).tiny)
    return batch.pixel_mean(wrong**gamma * ce)


def squared_error(batch: Batch) -> Tensor:
    """Return the mean squared error of the probabilities, over pixels and maps.

    Two maps of two classes give what one map gives: both are off by the same.
    """
    return batch.pixel_mean((batch.probability - batch.truth).square().mean(dim=1))
