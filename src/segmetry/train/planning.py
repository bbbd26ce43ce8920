"""How many steps fit into the time that there is: a few are taken and timed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

from segmetry.errors import OptionError
from segmetry.train.device import make_fabric
from segmetry.train.options import FitOptions
from segmetry.train.rate import RATES
from segmetry.train.running import PLAIN, Running
from segmetry.train.stepping import Task, batch_of, begin, take_step

TIMED = 3
"""Steps that are timed at least."""

SECONDS = 5.0
"""Steps are timed for so long."""

MARGIN = 0.95
"""Part of the time that is given to steps and checks; the rest is for export and calibration."""


@dataclass(frozen=True)
class Plan:
    """What a run will do in its time.

    Parameters
    ----------
    steps : int
    step : float
        Seconds of one, measured.
    check : float
        Seconds of one look at what is held out, measured.
    """

    steps: int
    step: float
    check: float


def plan(task: Task, options: FitOptions, minutes: float, running: Running = PLAIN) -> Plan:
    """Return how many steps of a task fit into so many minutes on this machine.

    Parameters
    ----------
    task : Task
    options : FitOptions
        Its number of steps has no part in this. The search for a learning rate is in the time, if it wants one.
    minutes : float
    running : Running

    Raises
    ------
    OptionError
        If there is no time for ten steps.

    Notes
    -----
    The network of these steps is thrown away. With workers, samples are drawn while the network learns, else in turn.
    Medians are taken, as the mean of a few times would be that of whatever else the machine did.
    """
    fabric, options = make_fabric(options, running)
    network, optimiser = begin(task, options, fabric)
    wrapped, wrapped_optimiser = fabric.setup(network, optimiser)
    draws: list[float] = []
    learns: list[float] = []
    began = time.monotonic()
    number = 0
    while len(learns) <= TIMED or time.monotonic() - began < SECONDS:
        start = time.monotonic()
        batch = batch_of([task.sample(number + k) for k in range(options.batch)], fabric.device)
        number += options.batch
        drawn = time.monotonic()
        losses = take_step(task, wrapped, wrapped_optimiser, batch, options, fabric)
        float(losses["loss"])  # waits for the device
        draws.append(drawn - start)
        learns.append(time.monotonic() - drawn)
    # The first step allocates and compiles.
    draw, learn = (median(times[1:]) for times in (draws, learns))
    step = max(draw / running.workers, learn) if running.workers else draw + learn
    start = time.monotonic()
    task.check(network.eval(), fabric.device)
    check = time.monotonic() - start
    every = options.check_every * step if options.check_every else options.save_every
    searching = 0 if options.learning_rate else len(RATES) * step
    steps = int((MARGIN * 60 * minutes - searching) / (step * (1 + check / max(every, step))))
    if steps < 10:
        raise OptionError(
            f"a step takes {step:.2g} s and a look at what is held out {check:.2g} s: {minutes:g} minutes are too few; "
            "give more, or take a smaller network, batch or side."
        )
    return Plan(steps, step, check)
