"""The training loop: draw, forward, loss, backward, step, average, log, save; it goes on where it was stopped."""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segmetry.cost import peak_memory, reset_peak_memory
from segmetry.errors import OptionError, SegmetryError
from segmetry.train.checkpoint import load_arrays, optimiser_arrays, restore_optimiser, save_arrays
from segmetry.train.device import make_fabric, name_device
from segmetry.train.log import LogWriter
from segmetry.train.looks import keep_look
from segmetry.train.options import FitOptions
from segmetry.train.rate_search import settled_rate
from segmetry.train.running import PLAIN, Running
from segmetry.train.stepping import Task, batches, begin, freeze, take_step

LAST = "last.npz"
BEST = "best.npz"


def use_threads(n: int) -> None:
    """Let torch compute with so many threads in this process, where several train side by side."""
    torch.set_num_threads(n)


def fit(
    task: Task,
    options: FitOptions,
    folder: Path,
    running: Running = PLAIN,
    *,
    stop_after: int | None = None,
) -> nn.Module:
    """Fit a network and return it with averaged weights, in evaluation mode.

    Parameters
    ----------
    task : Task
    options : FitOptions
    folder : Path
        Holds ``last.npz`` (weights, their average, the optimiser: named arrays), ``best.npz`` (the averaged weights of
        the best check, where checks give a ``score``), ``log.jsonl``, and ``rate.json`` if a rate was searched for;
        events for TensorBoard where that is installed. A run that was stopped goes on from there with the same losses
        as one that was not.
    running : Running
    stop_after : int, optional
        Stop after so many steps in all, as a kill would.

    Raises
    ------
    OptionError
        If a rate is searched for and none stands out.
    SegmetryError
        If the loss is not finite any more; the last good state stays.
    """
    fabric, options = make_fabric(options, running)
    if options.batch % fabric.world_size:
        raise OptionError(f"fit: a batch of {options.batch} cannot be dealt to {fabric.world_size} devices evenly.")
    if not options.learning_rate:
        rate = settled_rate(task, options, folder, running)
        options = replace(options, learning_rate=rate)
    held = _reset_peak(fabric.device)
    torch.manual_seed(options.seed)
    network, optimiser = begin(task, options, fabric)
    average = {k: v.detach().clone() for k, v in network.state_dict().items()}
    done, course = 0, Course()
    if (folder / LAST).exists():
        done, course = _restore(folder / LAST, network, optimiser, average)
    else:
        folder.mkdir(parents=True, exist_ok=True)
    wrapped, wrapped_optimiser = fabric.setup(network, optimiser)
    saved = shown = time.monotonic()
    sums: dict[str, Tensor] = {}
    since, began = done, time.monotonic()
    last = min(options.steps, stop_after or options.steps)
    drawn = batches(task, options, done, options.steps, workers=running.workers, fabric=fabric)
    with LogWriter(folder, done) if fabric.is_global_zero else nullcontext(_unsaid) as write:
        write({"step": done, "device": name_device(fabric, options)})
        for step in range(done, last):
            if course.over(options):
                break
            freeze(network, options, step)
            for group in optimiser.param_groups:
                group["lr"] = options.learning_rate * _share(step, options, course)
            losses = take_step(task, wrapped, wrapped_optimiser, next(drawn), options, fabric)
            _update(average, network, options.average, step)
            for name, value in losses.items():
                sums[name] = sums.get(name, torch.zeros((), device=fabric.device)) + value
            now, at_end = time.monotonic(), step + 1 == last
            to_check = at_end or bool(options.check_every and (step + 1) % options.check_every == 0)
            to_save = to_check or now - saved > options.save_every
            if now - shown > 10 or to_save:
                n, memory = step + 1 - since, _peak(fabric.device)
                entry: dict[str, Any] = {"step": step + 1} | {k: round(float(v) / n, 5) for k, v in sums.items()}
                _refuse_nonfinite(entry, folder)
                entry |= {
                    "rate": optimiser.param_groups[0]["lr"],
                    "steps_per_s": round(n / (now - began), 3),
                    "samples_per_s": round(n * options.batch / (now - began), 2),
                    "memory": memory,
                    "memory_risen": None if memory is None else max(0, memory - held),
                }
                write(entry)
                sums, since, began, shown = {}, step + 1, now, now
            if to_save:
                if to_check or not options.check_every:
                    scores: dict[str, Any] = {}
                    if fabric.is_global_zero:
                        scores = task.check(_averaged(task, average, fabric.device), fabric.device)
                        keep_look(folder, step + 1, scores.pop("looks", {}))
                    write({"step": step + 1, "check": scores, "seconds": round(time.monotonic() - now, 2)})
                    if course.note(fabric.broadcast(scores).get("score"), options) and fabric.is_global_zero:
                        save_arrays(folder / BEST, average)
                if fabric.is_global_zero:
                    _save(folder / LAST, network, optimiser, average, step + 1, course)
                saved = time.monotonic()
                began += saved - now
            if shown == now and running.progress:
                running.progress(step + 1, options.steps, entry)
    if options.keep == "best" and (folder / BEST).exists():
        average = load_arrays(folder / BEST)
    return _averaged(task, average, fabric.device)


@dataclass
class Course:
    """How the score of a run goes: what the schedule and the early end go by.

    Parameters
    ----------
    best : float
        Best score so far.
    worse : int
        Checks since then.
    halved : int
        How often the learning rate was halved.
    """

    best: float = -math.inf
    worse: int = 0
    halved: int = 0

    def note(self, score: float | None, options: FitOptions) -> bool:
        """Take the score of a check, if it has one, and return whether it is the best so far."""
        if score is None:
            return False
        if score > self.best:
            self.best, self.worse = score, 0
            return True
        self.worse += 1
        self.halved += self.worse % options.plateau == 0
        return False

    def over(self, options: FitOptions) -> bool:
        """Return whether the score has not risen for too long."""
        return bool(options.patience) and self.worse >= options.patience


def _unsaid(entry: dict[str, Any]) -> None:
    """Write nothing: of several processes one keeps the log."""


def _reset_peak(device: torch.device) -> int:
    """Begin to watch the memory anew, and return what this process holds already (MiB); of a GPU all counts."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return 0
    held = reset_peak_memory()
    return round(held) if math.isfinite(held) else 0


def _peak(device: torch.device) -> int | None:
    """Return the memory in MiB that was held at most: a GPU's, else this process's; None where nobody tells."""
    memory = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_memory()
    return round(memory) if math.isfinite(memory) else None


def _averaged(task: Task, average: dict[str, Tensor], device: Any) -> nn.Module:
    network = task.build()
    network.load_state_dict(average)
    return network.to(device, memory_format=torch.channels_last).eval()


def _share(step: int, options: FitOptions, course: Course) -> float:
    """Return the share of the learning rate at a step."""
    rise = min(1.0, (step + 1) / (options.warmup + 1))
    if options.schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * step / options.steps))
    return rise * 0.5**course.halved if options.schedule == "plateau" else rise


def _refuse_nonfinite(entry: dict[str, Any], folder: Path) -> None:
    """Raise the error that says where a loss was no number any more, before anything is written over."""
    if not math.isfinite(entry["loss"]):
        kept = f"{folder / LAST} holds the last good state" if (folder / LAST).exists() else "no state was saved yet"
        raise SegmetryError(
            f"fit: the loss is not finite by step {entry['step']}; {kept}. Take a smaller learning_rate or a longer "
            "warmup, and look for pixels that are not finite."
        )


def _update(average: dict[str, Tensor], network: nn.Module, decay: float, step: int) -> None:
    """Move the running mean of weights and statistics; early on it forgets faster."""
    decay = min(decay, (1 + step) / (10 + step))
    state = network.state_dict()
    floats = [k for k, v in average.items() if v.is_floating_point()]
    torch._foreach_lerp_([average[k] for k in floats], [state[k] for k in floats], 1 - decay)
    for k, v in average.items():
        if not v.is_floating_point():
            v.copy_(state[k])


def _save(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: dict[str, Tensor],
    step: int,
    course: Course,
) -> None:
    arrays = {f"weights/{k}": v for k, v in network.state_dict().items()}
    arrays |= {f"average/{k}": v for k, v in average.items()}
    arrays |= optimiser_arrays(optimiser, network)
    arrays |= {
        f"course/{k}": torch.tensor(v, dtype=None if isinstance(v, int) else torch.float64)
        for k, v in asdict(course).items()
    }
    save_arrays(path, arrays | {"step": torch.tensor(step)})


def _restore(
    path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, average: dict[str, Tensor]
) -> tuple[int, Course]:
    arrays = load_arrays(path)
    network.load_state_dict({k: arrays[f"weights/{k}"] for k in network.state_dict()})
    for k, v in average.items():
        v.copy_(arrays[f"average/{k}"])
    restore_optimiser(optimiser, network, arrays)
    prefix = "course/"
    told = {k.removeprefix(prefix): v.item() for k, v in arrays.items() if k.startswith(prefix)}
    return int(arrays["step"]), Course(**told)
