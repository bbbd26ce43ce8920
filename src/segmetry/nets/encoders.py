"""Encoders: an image to features at ever coarser resolution. A plain one, and those of segmentation-models-pytorch."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from segmetry.errors import OptionError, unknown_name
from segmetry.nets.blocks import POOL, conv_pair, initialise
from segmetry.nets.vision import import_torchvision
from segmetry.options import Options, option

PLAIN = "plain"
"""Name of the encoder that needs no library: two convolutions at each level, and the maximum of 2 x 2."""


@dataclass(frozen=True, kw_only=True)
class EncoderOptions(Options):
    """Options of every network that can take several encoders."""

    encoder: str = option(
        PLAIN,
        "plain, or an encoder of segmentation-models-pytorch (resnet18, inceptionv4, tu-xception41), random weights",
        kind="text",
    )
    depth: int | None = option(
        None, "times that the encoder halves the image; by default 4 for plain, 5 for others", kind="int", low=1, high=6
    )
    width: int = option(16, "channels at full resolution; twice as many at each halving", low=1)
    rate: float = option(0.0, "share of channels dropped at the deepest features and before the head", low=0, high=0.9)

    def levels(self, plain: int = 4, other: int = 5) -> int:
        """Return the depth, or what stands for none."""
        return self.depth or (plain if self.encoder == PLAIN else other)


class PlainEncoder(nn.Module):
    """Pairs of convolutions, with the maximum of 2 x 2 (or 2 x 2 x 2) pixels between them.

    Parameters
    ----------
    channels : int
        Channels of the image.
    depth : int
        Times that resolution is halved.
    width : int
        Channels at full resolution; twice as many at each level.
    size : int
        Side of the kernels.
    norm : {"batch", "group", "none"}
    coarsest : int, optional
        From this stride on, kernels are dilated instead of the image made smaller.
    n_axes : {2, 3}
    """

    def __init__(
        self,
        channels: int,
        depth: int,
        width: int,
        *,
        size: int = 3,
        norm: str = "batch",
        coarsest: int | None = None,
        n_axes: int = 2,
    ) -> None:
        super().__init__()
        self.widths = tuple(width * 2**i for i in range(depth + 1))
        self.strides = tuple(min(2**i, coarsest or 2**i) for i in range(depth + 1))
        self.levels = nn.ModuleList(
            conv_pair(a, b, size, dilation=2**i // stride, norm=norm, n_axes=n_axes)
            for i, ((a, b), stride) in enumerate(zip(pairwise((channels, *self.widths)), self.strides, strict=True))
        )
        self.pool = POOL[n_axes](2)
        initialise(self)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return (B, widths[i], H / strides[i], W / strides[i]) for each level, the finest first."""
        features = [self.levels[0](image)]
        for level, (a, b) in zip(self.levels[1:], pairwise(self.strides), strict=True):
            x = features[-1]
            features.append(level(self.pool(x) if b > a else x))
        return features


class BorrowedEncoder(nn.Module):
    """An encoder of segmentation-models-pytorch; the image itself and empty features are left out."""

    def __init__(self, body: Any, channels: int) -> None:
        super().__init__()
        self.body = body
        all_widths = tuple(body.out_channels)
        self.used = tuple(i for i, w in enumerate(all_widths) if w and not (i == 0 and w == channels))
        self.widths = tuple(all_widths[i] for i in self.used)
        self.strides = tuple(min(2**i, body.output_stride) for i in self.used)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return (B, widths[i], H / strides[i], W / strides[i]) for each level, the finest first."""
        features: Sequence[Tensor] = self.body(image)
        return [features[i] for i in self.used]


def build_encoder(name: str, channels: int, depth: int, width: int, *, coarsest: int | None = None) -> nn.Module:
    """Return an encoder with random weights; nothing is downloaded.

    Parameters
    ----------
    name : str
        ``"plain"``, or a name that segmentation-models-pytorch knows; those of timm begin with ``tu-``.
    channels : int
        Channels of the image.
    depth : int
        Times that resolution is halved: of a library's encoder the first stages, 5 at most.
    width : int
        Channels of the plain encoder at full resolution.
    coarsest : {8, 16}, optional
        Stride from which on kernels are dilated instead.

    Returns
    -------
    encoder : Module
        With `widths` and `strides` of what it returns, the finest first.

    Raises
    ------
    OptionError
        If there is no such encoder, it cannot be dilated or built so deep, or the library is missing.
    """
    if name == PLAIN:
        return PlainEncoder(channels, depth, width, coarsest=coarsest)
    library = _library(name)
    dilated = coarsest is not None and 2**depth > coarsest
    known = library.encoders.get_encoder_names()
    if name not in known and not name.startswith("tu-"):
        raise unknown_name("encoder", name, [PLAIN, *(n for n in known if not n.startswith("timm-"))])
    if not 1 <= depth <= 5:
        raise OptionError(f"encoder {name} has a depth of 1 to 5, got {depth}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the library will rename is no matter of the user's
            body = library.encoders.get_encoder(
                name, in_channels=channels, depth=depth, weights=None, output_stride=coarsest if dilated else 32
            )
    except (ValueError, RuntimeError, TypeError, KeyError, AssertionError) as error:
        wish = f" whose kernels are dilated from stride {coarsest} on" if dilated else ""
        first = str(error).strip().split("\n")[0]
        raise OptionError(f"encoder {name} cannot be built with a depth of {depth}{wish}: {first}") from error
    return BorrowedEncoder(body, channels)


def _library(name: str) -> Any:
    try:
        import_torchvision()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own imports
            library: Any = importlib.import_module("segmentation_models_pytorch")
    except (ImportError, RuntimeError) as error:
        raise OptionError(
            f"encoder {name} needs segmentation-models-pytorch and the torchvision that belongs to torch "
            f"{torch.__version__} ({str(error).splitlines()[0]}); pip install 'segmetry[train]', or take {PLAIN}."
        ) from error
    return library
