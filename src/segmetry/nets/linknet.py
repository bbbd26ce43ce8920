"""LinkNet: a light decoder whose levels are added to the encoder's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from segmetry.nets.blocks import conv_norm
from segmetry.nets.encoders import EncoderOptions, build_encoder
from segmetry.nets.segmenter import Segmenter

LAST = 32
"""Channels at full resolution, where the encoder has none of its own."""


@dataclass(frozen=True, kw_only=True)
class LinkNetOptions(EncoderOptions):
    """Options of the LinkNet."""

    name = "linknet"


def doubling(n_in: int, n_out: int) -> nn.Sequential:
    """Return a quarter of the channels, a transposed convolution to twice the resolution, and n_out channels."""
    n = max(n_in // 4, 1)
    up = nn.Sequential(nn.ConvTranspose2d(n, n, 4, 2, 1, bias=False), nn.BatchNorm2d(n), nn.ReLU(inplace=True))
    return nn.Sequential(conv_norm(n_in, n, 1), up, conv_norm(n, n_out, 1))


class LinkDecoder(nn.Module):
    """Doublings of the resolution; after each, the encoder's features of that level are added."""

    stride = 1

    def __init__(self, widths: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        missing = strides[0].bit_length() - 1  # levels finer than the encoder's finest
        self.width = LAST if missing else widths[0]
        outs = (*widths[::-1], *(LAST,) * missing)
        self.levels = nn.ModuleList(doubling(a, b) for a, b in pairwise(outs))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return (B, width, H, W) of features, the deepest last."""
        *skips, x = features
        for level in self.levels:
            x = level(x)
            if skips:
                x = x + skips.pop()
        return x


def build_linknet(channels: int, maps: Sequence[str], options: LinkNetOptions) -> nn.Module:
    """Return a LinkNet.

    References
    ----------
    Chaurasia & Culurciello, VCIP 2017, doi:10.1109/VCIP.2017.8305148. What differs: kernels of 4 for the transposed
    convolutions, which reach every pixel alike; the last levels are like the others, with 32 channels.
    """
    o = options
    encoder: Any = build_encoder(o.encoder, channels, o.levels(), o.width)
    return Segmenter(encoder, LinkDecoder(encoder.widths, encoder.strides), maps, rate=o.rate)
