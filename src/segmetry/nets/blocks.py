"""Pieces that networks are made of."""

from __future__ import annotations

from torch import Tensor, nn


def conv_norm(n_in: int, n_out: int, size: int = 3, *, stride: int = 1, padding: int | None = None) -> nn.Sequential:
    """Return a convolution with batch norm and ReLU."""
    padding = size // 2 if padding is None else padding
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, size, stride, padding, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)
    )


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
            y = y * keep[:, :, None, None]
        return self.act(x + y)
