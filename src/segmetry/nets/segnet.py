"""SegNet: the layout of VGG-16 twice; the way up puts each number where the maximum was found on the way down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from segmetry.nets.blocks import conv_norm, initialise
from segmetry.nets.segmenter import Segmenter
from segmetry.options import Options, option

LAYOUT = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))
"""Convolutions of each level of VGG-16, and its channels over those of the first level."""


@dataclass(frozen=True, kw_only=True)
class SegNetOptions(Options):
    """Options of the SegNet."""

    name = "segnet"
    width: int = option(64, "channels of the first level; VGG-16 has 64", low=1)
    kernel: int = option(3, "side of the kernels: 3, 5 or 7", low=3, high=7)
    rate: float = option(0.0, "share of channels dropped at the deepest features and before the head", low=0, high=0.9)


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maximum of every 2 x 2 pixels, and its place among them.

    Parameters
    ----------
    x : (B, C, H, W) tensor

    Returns
    -------
    most : (B, C, H/2, W/2) tensor
    place : (B, C, H/2, W/2) tensor of int
        0 to 3 in reading order; the first of equals.

    Notes
    -----
    torch's own max-unpooling cannot be exported; these two give the same (tested) and can, with sides left open.
    """
    four = torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=2)
    most, place = four.max(dim=2)
    return most, place


def unpool(x: Tensor, place: Tensor) -> Tensor:
    """Return (B, C, 2H, 2W) with each number of x (B, C, H, W) at its place among four, see `pool`, and zeros."""
    # A product, not a choice: where a number came from depends on all four, so what is not a number reaches all four.
    four = torch.stack([x * (place == k) for k in range(4)], dim=2)  # (B, C, 4, H, W)
    return functional.pixel_shuffle(four.flatten(1, 2), 2)


class VggEncoder(nn.Module):
    """The thirteen convolutions of VGG-16, each with batch norm, and five poolings."""

    def __init__(self, channels: int, width: int, size: int) -> None:
        super().__init__()
        self.widths = tuple(width * factor for _, factor in LAYOUT)
        self.strides = tuple(2 ** (i + 1) for i in range(len(LAYOUT)))
        n_in = channels
        self.levels = nn.ModuleList()
        for (n, _), n_out in zip(LAYOUT, self.widths, strict=True):
            self.levels.append(nn.Sequential(*(conv_norm(n_out if k else n_in, n_out, size) for k in range(n))))
            n_in = n_out
        initialise(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the places of the maxima of every level, the finest first, and the last level's maxima."""
        places, x = [], image
        for level in self.levels:
            x, place = pool(level(x))
            places.append(place)
        return [*places, x]


class UnpoolDecoder(nn.Module):
    """The mirror image of the encoder; its last convolution, to the classes, is the network's head."""

    stride = 1

    def __init__(self, widths: Sequence[int], size: int) -> None:
        super().__init__()
        self.width = widths[0]
        self.levels = nn.ModuleList()
        for i in reversed(range(len(widths))):
            n_out = widths[max(i - 1, 0)]
            n = LAYOUT[i][0] - (i == 0)  # the head is one of the first level's two
            self.levels.append(
                nn.Sequential(*(conv_norm(widths[i], widths[i] if k < n - 1 else n_out, size) for k in range(n)))
            )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return (B, width, H, W) of what the encoder gives."""
        *places, x = features
        for level, place in zip(self.levels, reversed(places), strict=True):
            x = level(unpool(x, place))
        return x


class SegNet(Segmenter):
    """SegNet.

    References
    ----------
    Badrinarayanan, Kendall & Cipolla, IEEE Trans. Pattern Anal. 2017, doi:10.1109/TPAMI.2016.2644615.
    """

    def __init__(self, channels: int, maps: Sequence[str], *, width: int, size: int = 3, rate: float = 0.0) -> None:
        encoder = VggEncoder(channels, width, size)
        super().__init__(encoder, UnpoolDecoder(encoder.widths, size), maps, rate=rate)
        self.head = nn.Conv2d(width, len(self.maps), size, padding=size // 2)
        initialise(self.head)


def build_segnet(channels: int, maps: Sequence[str], options: SegNetOptions) -> nn.Module:
    """Return a SegNet; see `SegNet`."""
    return SegNet(channels, maps, width=options.width, size=options.kernel, rate=options.rate)
