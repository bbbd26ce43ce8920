"""Losses that compare areas, in soft counts: Dice, Tversky, and that of U-Net++.

Soft counts of a class are sums over pixels of its probability p and its truth y (0 or 1), by the pixels' weights.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from segmetry.train.losses.batch import Batch, over, weighted_mean


class Areas(NamedTuple):
    """Soft counts: in both, predicted, true."""

    both: Tensor
    predicted: Tensor
    true: Tensor


def areas(batch: Batch, dims: tuple[int, ...]) -> Areas:
    """Return soft counts, summed over some dimensions of (B, M, *S)."""
    weight = batch.weight[:, None]
    predicted, true = batch.probability * weight, batch.truth * weight
    return Areas((predicted * batch.truth).sum(dims), predicted.sum(dims), true.sum(dims))


def dice(batch: Batch) -> Tensor:
    """Return ``1 - 2 sum(py) / (sum(p) + sum(y))``: the mean over classes that occur in the batch.

    Notes
    -----
    Counted over the whole batch: a small class that one crop lacks is seldom absent from all. A class that does
    is left out, as its Dice is 0 whatever is predicted and has no slope; so this loss says nothing about objects found
    where there are none. Add a cross-entropy for that. With one map, the class is class 1; with more, all count, the
    background too. Nothing is added to numerator and denominator.

    References
    ----------
    Milletari et al., 3DV 2016, 10.1109/3DV.2016.79; they sum p squared, we sum p.
    """
    both, predicted, true = areas(batch, (0, *batch.space))
    return weighted_mean(1 - over(2 * both, predicted + true), batch.map_weight * (true > 0))


def tversky(batch: Batch, *, alpha: float = 0.3, beta: float = 0.7, power: float = 1.0) -> Tensor:
    """Return ``(1 - TP / (TP + alpha FP + beta FN))^power``: the mean over classes that occur, as in `dice`.

    Notes
    -----
    Alpha and beta of one half are Dice, of one Jaccard. `power` below 1 is the focal Tversky loss (its ``1/gamma``;
    .75 there), which is steep near perfect classes.

    References
    ----------
    Salehi et al., MLMI 2017, 10.1007/978-3-319-67389-9_44; Abraham and Khan, ISBI 2019, 10.1109/ISBI.2019.8759329.
    """
    both, predicted, true = areas(batch, (0, *batch.space))
    index = over(both, both + alpha * (predicted - both) + beta * (true - both))
    lost = (1 - index).clamp(min=torch.finfo(index.dtype).tiny)
    return weighted_mean(lost**power, batch.map_weight * (true > 0))


def unet_plus_plus(batch: Batch) -> Tensor:
    """Return ``-1/N sum_b (1/2 Y log P + 2 Y P / (Y + P))`` over the N images, the loss of U-Net++ as printed.

    Notes
    -----
    Y and P are the truth and probabilities of an image. Y P, Y and P are sums over its pixels; Y log P we take as a
    mean, so that the size of an image does not shift the balance: the source does not say. The formula differs from
    a sum of cross-entropy and Dice loss in three ways. It is negative: -1 where all is right, and 0 for an image
    in which the class does not occur, whatever is predicted there. Its cross-entropy has no term for the background:
    only the Dice part holds back false objects. The Dice is that of each image. For more than two classes, the mean
    over all of them.

    References
    ----------
    Zhou et al., DLMIA 2018, 10.1007/978-3-030-00889-5_1, equation 3.
    """
    both, predicted, true = areas(batch, batch.space)  # (B, M)
    weight = batch.weight[:, None]
    n = weight.sum(batch.space)  # (B, 1)
    log = over((batch.truth * batch.log_probability * weight).sum(batch.space), n)
    share = (n > 0) * batch.map_weight  # an image of which nothing is known is none
    return weighted_mean(-(0.5 * log + over(2 * both, predicted + true)), share)
