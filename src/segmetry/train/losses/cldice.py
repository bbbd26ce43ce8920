"""Soft clDice: does the centre line of one lie in the other? For vessels, roots, cracks, membranes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from segmetry.train.losses.batch import Batch, weighted_mean


def cldice(batch: Batch, *, iterations: int = 10) -> Tensor:
    """Return 1 - soft clDice, the harmonic mean of the shares of either centre line that lie in the other's mask.

    Parameters
    ----------
    batch : Batch
    iterations : int
        Pixels that thinning takes away; at least the largest half width of the structures.

    Notes
    -----
    Counted over the whole batch, for every class but class 0. Each share has a pixel added to both counts, as in the
    published code: without any structure, true or predicted, the loss is 0, and a false one costs. Ignored pixels are
    background in both, so a centre line ends there: scribbles do not suit it. Authors add a soft Dice to it.

    References
    ----------
    Shit et al., CVPR 2021, 10.1109/CVPR46437.2021.01629. Neighbours in a tie share the slope here; in the published
    code the first has it.
    """
    first = 0 if batch.is_binary else 1
    known = batch.weight[:, None] > 0
    mask, truth = (torch.where(known, m[:, first:], 0) for m in (batch.probability, batch.truth))
    thin, thin_truth = soft_skeleton(mask, iterations), soft_skeleton(truth, iterations)
    dims = (0, *batch.space)
    thin, thin_truth = thin * batch.weight[:, None], thin_truth * batch.weight[:, None]
    precision = ((thin * truth).sum(dims) + 1) / (thin.sum(dims) + 1)
    recall = ((thin_truth * mask).sum(dims) + 1) / (thin_truth.sum(dims) + 1)
    return weighted_mean(1 - 2 * precision * recall / (precision + recall), batch.map_weight[first:])


def soft_skeleton(mask: Tensor, iterations: int) -> Tensor:
    """Return the soft centre lines of soft masks (B, M, *S), values in [0, 1].

    What an opening takes away is a piece of the skeleton; so is what it takes after each erosion. Erosion is over the
    pixels that share a side, dilation over those that share a corner; the mask goes on beyond the frame.
    """
    eroded = erode(mask)
    skeleton = functional.relu(mask - dilate(eroded))
    for _ in range(iterations):
        # Nothing is left of a mask of zeros: further rounds add nothing.
        if not mask.requires_grad and not eroded.any():
            break
        mask, eroded = eroded, erode(eroded)
        skeleton = skeleton + (1 - skeleton) * functional.relu(mask - dilate(eroded))
    return skeleton


def erode(mask: Tensor) -> Tensor:
    """Return the least of each pixel and its neighbours over a side."""
    out = _OfThree.apply(mask, 2, torch.minimum)
    for dim in range(3, mask.ndim):
        out = torch.minimum(out, _OfThree.apply(mask, dim, torch.minimum))
    return out


def dilate(mask: Tensor) -> Tensor:
    """Return the largest of each pixel and its neighbours over a side or corner."""
    for dim in range(2, mask.ndim):
        mask = _OfThree.apply(mask, dim, torch.maximum)
    return mask


class _OfThree(Function):
    """The least or largest of each pixel and its two neighbours along an axis; in a tie the pixel itself has the slope.

    Thinning by torch's pooling took nearly five times as long, forward and backward together.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, dim: int, extreme: Callable[..., Tensor]) -> Tensor:
        n = values.shape[dim]
        out = values.clone()
        low, high = (out.narrow(dim, start, n - 1) for start in (0, 1))
        extreme(low, values.narrow(dim, 1, n - 1), out=low)
        extreme(high, values.narrow(dim, 0, n - 1), out=high)
        ctx.save_for_backward(values, out)
        ctx.dim = dim
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        values, out = ctx.saved_tensors
        n = values.shape[ctx.dim] - 1
        passed = _equal(values, out).mul_(slope)
        rest = slope - passed
        to_next = _equal(values.narrow(ctx.dim, 1, n), out.narrow(ctx.dim, 0, n)).mul_(rest.narrow(ctx.dim, 0, n))
        rest.narrow(ctx.dim, 0, n).sub_(to_next)
        passed.narrow(ctx.dim, 1, n).add_(to_next)
        passed.narrow(ctx.dim, 0, n).add_(rest.narrow(ctx.dim, 1, n))
        return passed, None, None


def _equal(a: Tensor, b: Tensor) -> Tensor:
    """Return 1 where two tensors are equal, else 0, as numbers: a bool mask, used as one, takes ten times as long."""
    return torch.eq(a, b, out=torch.empty_like(a))
