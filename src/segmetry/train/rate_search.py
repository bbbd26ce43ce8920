"""The search for a learning rate: steps at rising rates by a network that is thrown away."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch

from segmetry.errors import OptionError
from segmetry.train.device import make_fabric
from segmetry.train.options import FitOptions
from segmetry.train.rate import RATE, RATES, RateSearch, diverged
from segmetry.train.running import PLAIN, Running
from segmetry.train.stepping import Task, batches, begin, freeze, take_step


def settled_rate(task: Task, options: FitOptions, folder: Path, running: Running = PLAIN) -> float:
    """Return the learning rate that a run was found, or search for it and keep it in the run's folder.

    Raises
    ------
    OptionError
        If no rate stands out.
    """
    path = folder / RATE
    if path.exists():
        search = RateSearch.load(path)
    else:
        search = find_rate(task, options, running)
        folder.mkdir(parents=True, exist_ok=True)
        search.save(path)
    if not math.isfinite(search.found):
        raise OptionError(
            f"fit: of {len(search.rates)} learning rates from {search.rates[0]:.1g} to {search.rates[-1]:.1g} none "
            f"lets the loss fall clearly ({path}); name one in a new folder, such as learning_rate=0.002, or look at "
            "images and labels."
        )
    return search.found


def find_rate(task: Task, options: FitOptions, running: Running = PLAIN) -> RateSearch:
    """Return the losses of the first steps of a run, were its rate to rise from step to step.

    Parameters
    ----------
    task : Task
    options : FitOptions
        Its rate, schedule and number of steps have no part in this.
    running : Running
        Its progress is told ``trial``, ``rate`` and ``loss``.

    Notes
    -----
    It ends where the loss diverges, see `segmetry.train.rate.diverged`. A network of its own learns, and the state of
    torch's random numbers is put back: a run goes on as if this had not been.
    """
    fabric, options = make_fabric(options, running)
    rates: list[float] = []
    losses: list[float] = []
    start = time.monotonic()
    with torch.random.fork_rng([fabric.device] if fabric.device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        network, optimiser = begin(task, options, fabric)
        freeze(network, options, 0)
        wrapped, wrapped_optimiser = fabric.setup(network, optimiser)
        drawn = batches(task, options, 0, len(RATES), workers=running.workers, fabric=fabric)
        for number, (rate, batch) in enumerate(zip(RATES.tolist(), drawn, strict=True), 1):
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss: Any = take_step(task, wrapped, wrapped_optimiser, batch, options, fabric)["loss"]
            rates.append(rate)
            losses.append(float(fabric.all_reduce(loss, reduce_op="mean")))
            if running.progress:
                running.progress(number, len(RATES), {"trial": number, "rate": rate, "loss": losses[-1]})
            if diverged(losses):
                break
    return RateSearch(rates, losses, round(time.monotonic() - start, 2))
