"""PSPNet: features beside their means over the whole image, its halves, thirds and sixths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from segmetry.nets.blocks import conv_norm
from segmetry.nets.encoders import EncoderOptions, build_encoder
from segmetry.nets.segmenter import Segmenter
from segmetry.options import option

BINS = (1, 2, 3, 6)
"""Parts that the image is divided into along each axis."""

COARSEST = 8
"""Stride of the features; what an encoder has beyond is dilated."""


@dataclass(frozen=True, kw_only=True)
class PSPNetOptions(EncoderOptions):
    """Options of the PSPNet."""

    name = "pspnet"
    depth: int | None = option(
        3, "levels of the encoder; those beyond 3 stay at stride 8, dilated", kind="int", low=1, high=6
    )
    decoder: int = option(512, "channels of the decoder", low=1)


def averaging(n: Tensor | int, bins: int, like: Tensor) -> Tensor:
    """Return the (bins, n) matrix that averages n numbers in parts, as torch's adaptive pooling divides them.

    Parameters
    ----------
    n : int
        A tensor while a network is traced: the number stays open.
    bins : int
    like : Tensor
        Gives dtype and device.

    Notes
    -----
    Part i goes from floor(i n / bins) up to ceil((i + 1) n / bins); neighbours share a number where n is no multiple.
    """
    place = torch.arange(n, device=like.device)
    part = torch.arange(bins, device=like.device)[:, None]
    first = torch.div(part * n, bins, rounding_mode="floor")
    end = torch.div((part + 1) * n + (bins - 1), bins, rounding_mode="floor")
    inside = ((place >= first) & (place < end)).to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)


class PyramidDecoder(nn.Module):
    """Pyramid pooling of the deepest features, and a convolution."""

    def __init__(self, n_in: int, stride: int, width: int) -> None:
        super().__init__()
        self.width, self.stride = width, stride
        share = max(n_in // len(BINS), 1)
        # One mean of one image has no variance to divide by.
        self.parts = nn.ModuleList(conv_norm(n_in, share, 1, norm="none" if b == 1 else "batch") for b in BINS)
        self.join = conv_norm(n_in + share * len(BINS), width)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return (B, width, H / stride, W / stride) of the last features."""
        x = features[-1]
        rows, columns = x.shape[-2:]
        joined = [x]
        for bins, part in zip(BINS, self.parts, strict=True):
            means = averaging(rows, bins, x) @ x @ averaging(columns, bins, x).T
            joined.append(functional.interpolate(part(means), size=x.shape[-2:], mode="bilinear", align_corners=False))
        return self.join(torch.cat(joined, dim=1))


def build_pspnet(channels: int, maps: Sequence[str], options: PSPNetOptions) -> nn.Module:
    """Return a PSPNet.

    References
    ----------
    Zhao et al., CVPR 2017, doi:10.1109/CVPR.2017.660. What differs: no auxiliary loss; with a depth of 3 the features
    are those that an encoder has at stride 8 of itself, theirs come from a ResNet dilated from there on (depth 5).
    """
    o = options
    encoder: Any = build_encoder(o.encoder, channels, o.levels(3, 3), o.width, coarsest=COARSEST)
    decoder = PyramidDecoder(encoder.widths[-1], encoder.strides[-1], o.decoder)
    return Segmenter(encoder, decoder, maps, rate=o.rate)
