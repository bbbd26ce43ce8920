"""Pieces that networks are made of."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

CONV: dict[int, type[nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
"""Convolution by number of axes."""

POOL: dict[int, type[nn.Module]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
"""Maximum over neighbours by number of axes."""

_BATCH_NORM: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}

NORMS = ("batch", "group", "none")
"""Normalisations: over the batch, over the image in eight groups of channels, or a bias instead."""


def conv_norm(
    n_in: int,
    n_out: int,
    size: int = 3,
    *,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    norm: str = "batch",
    n_axes: int = 2,
) -> nn.Sequential:
    """Return a convolution with a normalisation of `NORMS` and ReLU."""
    padding = dilation * (size // 2) if padding is None else padding
    middle = {
        "batch": lambda: _BATCH_NORM[n_axes](n_out),
        "group": lambda: nn.GroupNorm(math.gcd(n_out, 8), n_out),
        "none": nn.Identity,
    }[norm]
    return nn.Sequential(
        CONV[n_axes](n_in, n_out, size, stride, padding, dilation, bias=norm == "none"),
        middle(),
        nn.ReLU(inplace=True),
    )


def conv_pair(
    n_in: int, n_out: int, size: int = 3, *, dilation: int = 1, norm: str = "batch", n_axes: int = 2
) -> nn.Sequential:
    """Return two convolutions, each with normalisation and ReLU."""
    return nn.Sequential(
        *(conv_norm(n, n_out, size, dilation=dilation, norm=norm, n_axes=n_axes) for n in (n_in, n_out))
    )


def initialise(module: nn.Module) -> None:
    """Draw the weights of all convolutions in a module as He et al. (2015, doi:10.1109/ICCV.2015.123); biases are 0."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            if m.bias is not None:
                nn.init.zeros_(m.bias)


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Return (B, C, factor H, factor W) of (B, C, H, W), bilinear between pixel centres: no pixel is moved."""
    if factor == 1:
        return x
    return functional.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)


def repeat(x: Tensor) -> Tensor:
    """Return twice as many pixels along each axis, each the nearest of (B, C, ...)."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def masked(x: Tensor, keep: Tensor) -> Tensor:
    """Return x (B or 1, C, ...) with whole channels multiplied by keep (B or 1, C)."""
    for _ in range(x.ndim - keep.ndim):
        keep = keep.unsqueeze(-1)
    return x * keep


class Residual(nn.Module):
    """Two 3x3 convolutions, added to what came in (He et al. 2016); whole channels of the sum may be dropped.

    Parameters
    ----------
    width : int
        Channels in and out.
    rate : float
        Share of channels that a random mask drops; 0 for a block without dropout.
    """

    def __init__(self, width: int, rate: float = 0.0) -> None:
        super().__init__()
        self.width, self.rate = width, rate
        self.first = conv_norm(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return (B, width, H, W) of the same; `keep` (B, width) multiplies the channels that are added."""
        y = self.second(self.first(x))
        if keep is not None:
            y = masked(y, keep)
        return self.act(x + y)
