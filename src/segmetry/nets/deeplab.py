"""DeepLab v3+: dilated convolutions of several reaches side by side, then joined with features of stride 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segmetry.errors import OptionError
from segmetry.nets.blocks import conv_norm, enlarge
from segmetry.nets.encoders import EncoderOptions, build_encoder
from segmetry.nets.segmenter import Segmenter
from segmetry.options import option

RATES = (6, 12, 18)
"""Dilations of the three convolutions at stride 16."""

COARSEST = 16
"""Stride of the deepest features; what an encoder has beyond is dilated."""

FINE = 48
"""Channels that the features of stride 4 are reduced to."""


@dataclass(frozen=True, kw_only=True)
class DeepLabOptions(EncoderOptions):
    """Options of DeepLab v3+."""

    name = "deeplabv3+"
    decoder: int = option(256, "channels of the decoder", low=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.levels() < 3:
            raise OptionError(f"{self.name}: depth must be at least 3, got {self.depth}.")


def separable(n_in: int, n_out: int, dilation: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution of each channel by itself, then one of 1x1, batch norm and ReLU."""
    alone = nn.Conv2d(n_in, n_in, 3, padding=dilation, dilation=dilation, groups=n_in, bias=False)
    return nn.Sequential(alone, *conv_norm(n_in, n_out, 1))


class AtrousDecoder(nn.Module):
    """Atrous spatial pyramid pooling, and the decoder after it."""

    def __init__(self, widths: Sequence[int], strides: Sequence[int], width: int) -> None:
        super().__init__()
        self.width, self.stride = width, 4
        self.fine, self.factor = list(strides).index(4), strides[-1] // 4
        n = widths[-1]
        self.near = conv_norm(n, width, 1)
        self.far = nn.ModuleList(separable(n, width, rate) for rate in RATES)
        self.whole = conv_norm(n, width, 1, norm="none")  # one mean of one image has no variance to divide by
        self.join = conv_norm((2 + len(RATES)) * width, width, 1)
        self.reduce = conv_norm(widths[self.fine], FINE, 1)
        self.last = nn.Sequential(separable(width + FINE, width), separable(width, width))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return (B, width, H/4, W/4) of features, the deepest last."""
        x = features[-1]
        whole = self.whole(x.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *x.shape[-2:])
        x = self.join(torch.cat([self.near(x), *(far(x) for far in self.far), whole], dim=1))
        return self.last(torch.cat([enlarge(x, self.factor), self.reduce(features[self.fine])], dim=1))


def build_deeplab(channels: int, maps: Sequence[str], options: DeepLabOptions) -> nn.Module:
    """Return a DeepLab v3+.

    References
    ----------
    Chen et al., ECCV 2018, doi:10.1007/978-3-030-01234-2_49. What differs: no batch norm on the mean of the image.
    """
    o = options
    encoder: Any = build_encoder(o.encoder, channels, o.levels(), o.width, coarsest=COARSEST)
    return Segmenter(encoder, AtrousDecoder(encoder.widths, encoder.strides, o.decoder), maps, rate=o.rate)
