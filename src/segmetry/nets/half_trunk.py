"""The residual trunk at half resolution that is fast on CPUs: down and up again, skips added."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from segmetry.nets.blocks import Residual, conv_norm, repeat


def level_rates(widths: Sequence[int], rate: float) -> list[float]:
    """Return the rate of dropout at each level: `rate` at the two coarsest."""
    return [rate if level >= len(widths) - 2 else 0.0 for level in range(len(widths))]


def descent(
    channels: int, widths: Sequence[int], rate: float
) -> tuple[nn.Sequential, nn.ModuleList, nn.ModuleList, Residual]:
    """Return the stem (stride 2), the strided convolutions, the residual blocks after them, and the bottom."""
    rates = level_rates(widths, rate)
    return (
        conv_norm(channels, widths[0], 6, stride=2, padding=2),
        nn.ModuleList(conv_norm(a, b, 3, stride=2) for a, b in pairwise(widths)),
        nn.ModuleList(Residual(w, r) for w, r in zip(widths[1:], rates[1:], strict=True)),
        Residual(widths[-1], rate),
    )


def ascent(widths: Sequence[int], rate: float) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Return the 1x1 convolutions before each enlargement, and the residual blocks after it, the finest first."""
    rates = level_rates(widths, rate)
    return (
        nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths)),
        nn.ModuleList(Residual(w, r) for w, r in zip(widths[:-1], rates[:-1], strict=True)),
    )


def go_down(parts: Sequence[Any], image: Tensor, masks: Iterator[Tensor]) -> list[Tensor]:
    """Return the features of every level, the finest first, by the parts of `descent`."""
    stem, down, blocks, bottom = parts
    features = [stem(image)]
    for halve, block in zip(down, blocks, strict=True):
        features.append(_apply(block, halve(features[-1]), masks))
    features[-1] = _apply(bottom, features[-1], masks)
    return features


def go_up(parts: Sequence[Any], features: Sequence[Tensor], masks: Iterator[Tensor]) -> Tensor:
    """Return features of half resolution by the parts of `ascent`."""
    up, blocks = parts
    *skips, x = features
    for narrow, block in zip(reversed(up), reversed(blocks), strict=True):
        x = _apply(block, repeat(narrow(x)) + skips.pop(), masks)
    return x


def places(blocks: Iterable[Residual]) -> tuple[tuple[int, float], ...]:
    """Return channels and rate of the blocks with dropout."""
    return tuple((b.width, b.rate) for b in blocks if b.rate)


def _apply(block: Residual, x: Tensor, masks: Iterator[Tensor]) -> Tensor:
    return block(x, next(masks) if block.rate else None)
