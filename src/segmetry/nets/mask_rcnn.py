"""Mask R-CNN, torchvision's, as an opponent in comparisons: built without weights, and read out as labels."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segmetry.errors import OptionError
from segmetry.nets.vision import import_torchvision
from segmetry.segment.bpartis import SIDE, nearest, resize_bicubic
from segmetry.segment.foreground import number_regions
from segmetry.types import Segmentation

MOST = 300
"""Particles that one image may have: torchvision's 100 are fewer than some micrographs hold."""


def build_mask_rcnn(*, side: int = SIDE) -> nn.Module:
    """Return a Mask R-CNN with a ResNet-50 and a feature pyramid, for particles and background, with random weights.

    Parameters
    ----------
    side : int
        Side in px that images come in; nothing is resized.

    Raises
    ------
    OptionError
        If torchvision is not installed, or does not fit the installed torch.

    Notes
    -----
    Calling it with images (B, 1, side, side) in [0, 1] gives detections in evaluation mode; with labels (B, side, side)
    too, in training mode, a dictionary of losses.

    In mixed precision anchors, boxes and losses stay in single precision: a place of 300 px in bf16 is off by up to 1.

    The published opponent on EMPS (Yildirim & Cole 2021) has a ResNet-101, ImageNet weights, and images normalised
    twice. Here: ResNet-50, no weights from elsewhere, so batch norm that learns; torchvision's settings but for the
    number of particles.

    References
    ----------
    He, Gkioxari, Dollár & Girshick, ICCV 2017, doi:10.1109/ICCV.2017.322.
    """
    try:
        if not import_torchvision():
            raise ImportError("its compiled operators do not load")
        detection: Any = importlib.import_module("torchvision.models.detection")
    except (ImportError, RuntimeError) as error:  # a torchvision for another torch raises a RuntimeError
        raise OptionError(
            f"mask-rcnn needs the torchvision that belongs to torch {torch.__version__}, which cannot be imported "
            f"({str(error).splitlines()[0]}); install it: pip install torchvision"
        ) from error
    network: nn.Module = detection.maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=2,
        min_size=side,
        max_size=side,
        box_detections_per_img=MOST,
    )
    return _Detector(network)


class _Detector(nn.Module):
    """A network of torchvision's that takes label images, and whose arithmetic of boxes is in single precision."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        parts = ("backbone", "rpn.head", "roi_heads.box_predictor", "roi_heads.mask_predictor")
        for part in parts:  # what convolutions and products give; all after them is coordinates and losses
            network.get_submodule(part).register_forward_hook(lambda _module, _given, made: _single(made))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Any:
        """Return detections or losses."""
        three = list(images.float().expand(-1, 3, -1, -1))
        return self.network(three) if labels is None else self.network(three, [make_targets(one) for one in labels])


def _single(made: Any) -> Any:
    """Return tensors, in whatever they are held, in single precision."""
    if isinstance(made, Tensor):
        return made.float()
    if isinstance(made, dict):
        return {name: _single(one) for name, one in made.items()}
    return type(made)(_single(one) for one in made)


def make_targets(labels: Tensor) -> dict[str, Tensor]:
    """Return the particles of a label image as Mask R-CNN wants them.

    Parameters
    ----------
    labels : (M, N) tensor of int
        0 background.

    Returns
    -------
    targets : dict
        ``boxes`` (L, 4) float32: left, top, right, bottom, pixel edges; ``labels`` (L,) ones; ``masks`` (L, M, N)
        uint8.

    Examples
    --------
    >>> make_targets(torch.tensor([[0, 5, 5], [0, 5, 0]]))["boxes"]
    tensor([[1., 0., 3., 2.]])
    """
    numbers = torch.unique(labels)
    numbers = numbers[numbers > 0]
    masks = labels == numbers[:, None, None]  # (L, M, N)
    ends = []
    for axis in (1, 0):  # columns, then rows
        line = masks.any(dim=2 - axis)  # (L, N) or (L, M)
        n = line.shape[1]
        first = line.int().argmax(1)
        last = n - line.flip(1).int().argmax(1)
        ends.append((first, last))
    (left, right), (top, bottom) = ends
    return {
        "boxes": torch.stack([left, top, right, bottom], 1).float(),
        "labels": torch.ones(len(numbers), dtype=torch.int64, device=labels.device),
        "masks": masks.to(torch.uint8),
    }


def paint(scores: np.ndarray, masks: np.ndarray, *, least: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Return labels and scores of detections; a pixel that several claim goes to the one of the highest score.

    Parameters
    ----------
    scores : (K,) array of float
    masks : (K, M, N) array of float
        Probability of each pixel; inside from 0.5.
    least : float
        Smallest score of a particle.

    Returns
    -------
    labels : (M, N) array of int32
        1..L, best first.
    scores : (L,) array of float64
    """
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= least]
    labels = np.zeros(masks.shape[1:], np.int32)
    for number, k in reversed(list(enumerate(order, start=1))):
        labels[masks[k] >= 0.5] = number
    there = np.bincount(labels.ravel(), minlength=order.size + 1) > 0
    return number_regions(labels, there), scores[order][there[1:]].astype(np.float64)


def find_particles(network: nn.Module, grey: np.ndarray, *, least: float = 0.5) -> Segmentation:
    """Return the particles of a micrograph.

    Parameters
    ----------
    network : Module
        Of `build_mask_rcnn`, in evaluation mode.
    grey : (M, N) array of uint8
        The micrograph; it is squeezed into 512 x 512 px, as for BPartIS, and labels are stretched back.
    least : float
        Smallest score of a particle.
    """
    network.eval()
    device = next(network.parameters(), torch.zeros(0)).device
    image = torch.from_numpy(resize_bicubic(grey)).to(device).float().div(255)
    with torch.inference_mode():
        found: dict[str, Any] = network(image[None, None])[0]
    labels, scores = paint(found["scores"].cpu().numpy(), found["masks"][:, 0].cpu().numpy(), least=least)
    whole = nearest(labels, (grey.shape[0], grey.shape[1]))
    there = np.bincount(whole.ravel(), minlength=scores.size + 1) > 0
    return Segmentation(
        number_regions(whole, there), "instance", info={"n_before": len(found["scores"])}, scores=scores[there[1:]]
    )
