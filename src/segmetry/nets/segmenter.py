"""What most networks for classes share: an encoder, a decoder, a head, and dropout that is an input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from segmetry.nets.blocks import CONV, enlarge, initialise, masked


class Segmenter(nn.Module):
    """Maps at the resolution of the image, from an encoder and a decoder.

    Parameters
    ----------
    encoder : Module
        ``encoder(image)`` gives features with `widths` and `strides`, the deepest last.
    decoder : Module
        ``decoder(features)`` gives features with `width` and `stride`.
    maps : sequence of str
        Names of the maps.
    rate : float
        Dropout of whole channels at the deepest features and before the head.
    n_axes : {2, 3}

    Notes
    -----
    A decoder whose features are coarser than the image gives maps that are enlarged after the head, bilinearly.
    """

    stride = 1

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, maps: Sequence[str], *, rate: float = 0.0, n_axes: int = 2
    ) -> None:
        super().__init__()
        self.maps, self.n_axes = tuple(maps), n_axes
        self.encoder: Any = encoder
        self.decoder: Any = decoder
        self.head: nn.Module = CONV[n_axes](self.decoder.width, len(self.maps), 1)
        self.multiple = max(self.encoder.strides)
        widths = (self.encoder.widths[-1], self.decoder.width)
        self.dropout: tuple[tuple[int, float], ...] = tuple((width, rate) for width in widths) if rate else ()
        initialise(self.decoder)
        initialise(self.head)

    def features(self, image: Tensor, keep: Tensor) -> tuple[Any, Tensor | None]:
        """Return what the decoder makes of an image, and the mask (B or 1, width) for it."""
        features = self.encoder(image)
        if not self.dropout:
            return self.decoder(features), None
        deep, last = keep.split([width for width, _ in self.dropout], dim=1)
        *fine, deepest = features
        deepest = masked(deepest, deep)
        n = deepest.shape[0]  # one image under many masks becomes many
        return self.decoder([*(f.expand(n, *(-1,) * (f.ndim - 1)) for f in fine), deepest]), last

    def forward(self, image: Tensor, keep: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return logits (B, M, ...) of images (B, C, ...) under dropout masks (B or 1, K)."""
        x, last = self.features(image, keep)
        return enlarge(self.head(x if last is None else masked(x, last)), self.decoder.stride)
