"""Import torchvision, also where its compiled part does not fit the installed torch."""

from __future__ import annotations

import importlib
from typing import Any

import torch

_declared: list[Any] = []  # a library's operators are gone with it


def import_torchvision() -> bool:
    """Import torchvision; return whether its own operators (non-maximum suppression, RoI align) can run.

    Raises
    ------
    ImportError, RuntimeError
        If torchvision is not installed, or does not fit torch in other ways.

    Notes
    -----
    The compiled part of a torchvision for CUDA does not load beside a torch for CPUs; torchvision then fails on import,
    as it describes two operators that are not there. Encoders need none of them: here they are declared, without a
    body, so that calling one is still an error. Where they can be loaded, nothing is declared.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error) or _declared:
            raise
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        importlib.import_module("torchvision")
    return not _declared
