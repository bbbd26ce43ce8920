"""What a step of training takes, whoever takes it: the task, the machine, the optimiser, batches, and the step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, default_collate

from segmetry.train.memory import refuse_too_little_memory
from segmetry.train.options import FitOptions

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Task(Protocol):
    """What is trained: a network, samples by number, a loss, and what is told of the network now and then."""

    def build(self) -> nn.Module:
        """Return a fresh network."""

    def sample(self, number: int) -> dict[str, np.ndarray]:
        """Return training sample `number`; the same number gives the same sample."""

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what is minimised, and its parts for the log."""

    def check(self, network: nn.Module, device: torch.device) -> dict[str, Any]:
        """Return scores of a network in evaluation mode on data that it is not trained on; ``score`` tells better from
        worse. ``looks``, if there, is no score but what `segmetry.train.looks.keep_look` keeps.
        """


def make_optimiser(network: nn.Module, options: FitOptions) -> torch.optim.Optimizer:
    """Return the optimiser of a network; norms and biases do not decay."""
    decays = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decays, "weight_decay": options.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if options.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=options.learning_rate, momentum=0.9, nesterov=True)
    kind = torch.optim.AdamW if options.optimiser == "adamw" else torch.optim.Adam
    return kind(groups, lr=options.learning_rate)


def begin(task: Task, options: FitOptions, fabric: Fabric) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a fresh network where it will run, ready to learn, and its optimiser.

    Raises
    ------
    OptionError
        If there is too little memory for a step.
    """
    network = task.build().to(fabric.device, memory_format=torch.channels_last).train()
    refuse_too_little_memory(network, task.sample(0), options, fabric.device, devices=fabric.world_size)
    return network, make_optimiser(network, options)


def freeze(network: nn.Module, options: FitOptions, step: int) -> None:
    """Let the encoder stand still, its statistics too, while it is frozen."""
    if not options.freeze:
        return
    encoder = network.get_submodule("encoder")
    frozen = options.freeze < 0 or step < options.freeze
    encoder.requires_grad_(not frozen).train(not frozen)


def take_step(
    task: Task, network: Any, optimiser: Any, batch: dict[str, Tensor], options: FitOptions, fabric: Fabric
) -> dict[str, Tensor]:
    """Let a network that `fabric` has set up learn from a batch; return the loss before that, and its parts."""
    loss, parts = task.loss(network, batch)
    fabric.backward(loss)
    if options.clip:
        fabric.clip_gradients(network, optimiser, max_norm=options.clip, error_if_nonfinite=False)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return {"loss": loss.detach()} | {name: part.detach() for name, part in parts.items()}


def batch_of(samples: Sequence[dict[str, np.ndarray]], device: torch.device) -> dict[str, Tensor]:
    """Return samples as the batch that a loss takes."""
    batch: dict[str, Tensor] = default_collate(samples)
    return {name: tensor.to(device) for name, tensor in batch.items()}


def batches(
    task: Task, options: FitOptions, start: int, stop: int, *, workers: int, fabric: Fabric
) -> Iterator[dict[str, Tensor]]:
    """Return the batches of the steps from `start` to `stop`, where the network runs."""
    loader = DataLoader(
        _Samples(task, start * options.batch, stop * options.batch),
        batch_size=options.batch // fabric.world_size,
        num_workers=workers,
        drop_last=True,
        worker_init_fn=_one_thread if workers else None,
        prefetch_factor=4 if workers else None,
        pin_memory=fabric.device.type == "cuda",
    )
    return iter(fabric.setup_dataloaders(loader))


class _Samples(Dataset):
    def __init__(self, task: Task, start: int, stop: int) -> None:
        self.task, self.start, self.stop = task, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        return self.task.sample(self.start + i)


def _one_thread(_: int) -> None:
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
