"""What tasks share: dropout masks of training samples, and the mean loss over samples that are held out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from segmetry.train.stepping import Task


def random_keep(dropout: Sequence[tuple[int, float]], rng: np.random.Generator) -> np.ndarray:
    """Return a dropout mask (K,) float32 over places of (channels, rate): 0, or what keeps the mean at 1."""
    drawn = [(rng.random(n) >= rate).astype(np.float32) / np.float32(1 - rate) for n, rate in dropout]
    return np.concatenate(drawn)


def full_keep(dropout: Sequence[tuple[int, float]]) -> np.ndarray:
    """Return the mask (K,) float32 that drops nothing."""
    return np.ones(sum(n for n, _ in dropout), np.float32)


def mean_loss(
    task: Task, network: nn.Module, samples: Iterable[dict[str, np.ndarray]], device: torch.device
) -> dict[str, float]:
    """Return the mean over samples of a task's loss and of its parts; nothing where there is no sample."""
    found = []
    with torch.inference_mode():
        for sample in samples:
            total, parts = task.loss(network, {k: torch.from_numpy(v)[None].to(device) for k, v in sample.items()})
            found.append({"loss": float(total)} | {k: float(v) for k, v in parts.items()})
    return {k: round(float(np.mean([one[k] for one in found])), 5) for k in found[0]} if found else {}
