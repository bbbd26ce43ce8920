"""The Lovász extension of the Jaccard loss: a hinge on one map, absolute errors of probabilities on several."""

from __future__ import annotations

import torch
from torch import Tensor

from segmetry.train.losses.batch import Batch, over, weighted_mean


def lovasz_extension(errors: Tensor, member: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the Lovász extension of the Jaccard loss of every row, for errors that are not negative.

    Parameters
    ----------
    errors : (n, P) tensor
        How wrong each pixel is; -inf takes a pixel out (its `member` has to be False, its `weight` 0), and what is
        below 0 counts as 0.
    member : (n, P) bool tensor
    weight : (n, P) tensor, optional
        Size of each pixel in the Jaccard index; 1 by default.

    Notes
    -----
    With the errors in falling order, each counts by the rise of the Jaccard loss that its pixel brings when all
    before it are already wrong. The sort is what it costs: O(P log P) a row.

    References
    ----------
    Berman, Triki and Blaschko, CVPR 2018, 10.1109/CVPR.2018.00464; pixels of different size are ours.
    """
    errors, order = errors.sort(dim=1, descending=True)
    hit = member.gather(1, order)
    if weight is None:
        # In whole numbers: exact, and the same on every device.
        found = hit.cumsum(1, dtype=torch.int32)
        total = found[:, -1:]
        rank = torch.arange(1, hit.shape[1] + 1, dtype=torch.int32, device=hit.device)
        left, union = total - found, total + rank - found
        jaccard = 1 - left.to(errors.dtype) / union.to(errors.dtype)
    else:
        size = weight.gather(1, order)
        found = (size * hit).cumsum(1)
        total = found[:, -1:]
        jaccard = 1 - over(total - found, total + (size * ~hit).cumsum(1))
    step = torch.cat([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], dim=1)
    return (errors.clamp(min=0) * step.detach()).sum(dim=1)


def lovasz_hinge(logits: Tensor, member: Tensor, known: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the Lovász hinge loss of every row.

    Parameters
    ----------
    logits : (n, P) tensor
        Positive where a pixel is taken for a member.
    member, known : (n, P) bool tensors
        Which pixels are members; which count at all.
    weight : (n, P) tensor, optional
        See `lovasz_extension`.
    """
    sign = member.to(logits.dtype) * 2 - 1
    return lovasz_extension(torch.where(known, 1 - logits * sign, -torch.inf), member & known, weight)


def lovasz(batch: Batch) -> Tensor:
    """Return the Lovász loss: the mean over images, hinge with one map, softmax with more.

    Notes
    -----
    The hinge of an image without the class is its largest error, as published. With more maps, the mean
    over the classes that occur in the image, of errors ``|y - p|``. At hard predictions both equal the Jaccard
    loss (the hinge at logits of ±1 twice that).
    """
    weight = batch.weight.flatten(1)  # (B, P)
    known = weight > 0
    plain = bool(((weight == 1) | ~known).all())
    if batch.is_binary:
        value = lovasz_hinge(batch.logits.flatten(1), batch.truth.flatten(1).bool(), known, None if plain else weight)
        return weighted_mean(value, known.any(dim=1).to(weight.dtype))
    member = batch.truth.flatten(2).bool() & known[:, None]
    present = member.any(dim=2)  # (B, K)
    rows = present.nonzero()[:, 0]
    errors = (batch.truth - batch.probability).abs().flatten(2)[present]  # (n, P)
    errors = torch.where(known[rows], errors, -torch.inf)
    value = lovasz_extension(errors, member[present], None if plain else weight[rows])
    # The classes of an image weigh one together, and the images the same.
    by_class = present * batch.map_weight
    return weighted_mean(value, over(by_class, by_class.sum(dim=1, keepdim=True))[present])
