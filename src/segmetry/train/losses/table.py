"""The table of losses, and a weighted sum of them as a recipe names it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from segmetry.errors import OptionError, RecipeError, unknown_name
from segmetry.train.losses.batch import Batch
from segmetry.train.losses.betti import betti
from segmetry.train.losses.cldice import cldice
from segmetry.train.losses.distance import distance
from segmetry.train.losses.lovasz import lovasz
from segmetry.train.losses.overlap import dice, tversky, unet_plus_plus
from segmetry.train.losses.pixelwise import cross_entropy, focal, squared_error


@dataclass(frozen=True)
class LossKind:
    """One loss. Its own options are the keyword arguments of `compute`.

    Parameters
    ----------
    name : str
        As recipes say it.
    compute : callable
        A `Batch` to a scalar.
    summary : str
    source : str
    axes : tuple of int
        Images (2), volumes (3).
    least : mapping
        Smallest value of each own option.
    """

    name: str
    compute: Callable[..., Tensor]
    summary: str
    source: str = ""
    axes: tuple[int, ...] = (2, 3)
    least: Mapping[str, float] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """Own options and their defaults."""
        parameters = inspect.signature(self.compute).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}

    def __call__(
        self,
        maps: Tensor,
        target: Tensor,
        *,
        weight: Tensor | None = None,
        class_weight: Tensor | None = None,
        distance: Tensor | None = None,
        **own: float,
    ) -> Tensor:
        """Return the loss of maps (B, M, *S); see `Batch.of`."""
        # Areas of a crop do not fit into bf16.
        with torch.autocast(maps.device.type, enabled=False):
            batch = Batch.of(maps, target, weight=weight, class_weight=class_weight, distance=distance)
            return self.compute(batch, **own)


LOSSES = {
    kind.name: kind
    for kind in (
        LossKind("cross-entropy", cross_entropy, "mean cross-entropy of pixels, in nats"),
        LossKind("squared-error", squared_error, "mean squared error of the probabilities"),
        LossKind(
            "focal",
            focal,
            "cross-entropy in which easy pixels count less",
            "Lin et al. 2017, 10.1109/ICCV.2017.324",
            least={"gamma": 0},
        ),
        LossKind(
            "dice",
            dice,
            "1 - soft Dice over the batch, mean over the classes that occur",
            "Milletari et al. 2016, 10.1109/3DV.2016.79",
        ),
        LossKind(
            "tversky",
            tversky,
            "Dice with prices for false (alpha) and missed (beta) pixels; power below 1: focal Tversky",
            "Salehi et al. 2017, 10.1007/978-3-319-67389-9_44; Abraham and Khan 2019, 10.1109/ISBI.2019.8759329",
            least={"alpha": 0, "beta": 0, "power": 0.1},
        ),
        LossKind(
            "unet++",
            unet_plus_plus,
            "half a cross-entropy of the objects and minus Dice, as U-Net++ prints it; the best value is -1",
            "Zhou et al. 2018, 10.1007/978-3-030-00889-5_1",
        ),
        LossKind(
            "lovasz",
            lovasz,
            "convex extension of the Jaccard loss: hinge for two classes, softmax for more; per image",
            "Berman et al. 2018, 10.1109/CVPR.2018.00464",
        ),
        LossKind(
            "cldice",
            cldice,
            "1 - soft clDice: centre lines that lie in the other's mask",
            "Shit et al. 2021, 10.1109/CVPR46437.2021.01629",
            least={"iterations": 1},
        ),
        LossKind(
            "betti",
            betti,
            "pieces and holes by persistence, matched to those of the truth",
            "Hu et al. 2019, arXiv:1906.05404",
            axes=(2,),
            least={"side": 8},
        ),
        LossKind(
            "distance",
            distance,
            "smooth L1 of an auxiliary map against the depth inside the object",
            "Naylor et al. 2019, 10.1109/TMI.2018.2865709",
            least={"beta": 1e-6},
        ),
    )
}
"""Every loss by its name."""


class LossValue(NamedTuple):
    """What is minimised, and its parts before their weights, for the log."""

    total: Tensor
    parts: dict[str, Tensor]


@dataclass(frozen=True)
class Loss:
    """A weighted sum of losses.

    Parameters
    ----------
    weights : dict
        Name in `LOSSES` to weight.
    options : dict
        Name to own options that differ from the default.

    Examples
    --------
    >>> Loss.from_dict({"dice": 1, "focal": {"weight": 0.5, "gamma": 3}}).as_dict()
    {'dice': 1.0, 'focal': {'weight': 0.5, 'gamma': 3}}
    >>> Loss.from_dict({"dise": 1})
    Traceback (most recent call last):
    segmetry.errors.OptionError: there is no loss 'dise'; did you mean 'dice'? Known: betti, cldice, ...
    """

    weights: dict[str, float]
    options: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: Any) -> Loss:
        """Return the sum that a recipe names: ``{dice: 1, focal: {weight: 0.5, gamma: 3}}``.

        Raises
        ------
        RecipeError
            If this is no table of names and weights, or nothing weighs.
        OptionError
            If a loss or an option does not exist, or is out of range.
        """
        if not isinstance(data, Mapping) or not data:
            raise RecipeError(f"loss: this is a table such as {{dice: 1, cross-entropy: 0.5}}; got {data!r:.60}.")
        weights, options = {}, {}
        for name, entry in data.items():
            if name not in LOSSES:
                raise unknown_name("loss", name, LOSSES)
            own = dict(entry) if isinstance(entry, Mapping) else {"weight": entry}
            weights[name] = float(_number(own.pop("weight", 1), f"weight of {name}", 0))
            kind = LOSSES[name]
            for option, value in own.items():
                if option not in kind.options:
                    raise unknown_name(f"option of the loss {name}", option, ["weight", *kind.options])
                own[option] = _number(value, f"{option} of {name}", kind.least[option])
                if isinstance(kind.options[option], int) and own[option] != int(own[option]):
                    raise OptionError(f"loss: {option} of {name} must be a whole number, got {value!r}.")
            if own:
                options[name] = own
        if not any(weights.values()):
            raise RecipeError("loss: every weight is 0; give one that is larger.")
        return cls(weights, options)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for a recipe; `from_dict` takes it back."""
        return {n: {"weight": w, **self.options[n]} if n in self.options else w for n, w in self.weights.items()}

    @property
    def needs_distance(self) -> bool:
        """Whether the network has to end in a distance map, and samples have to bring its target."""
        return "distance" in self.weights

    def check_axes(self, n_axes: int) -> None:
        """Refuse losses that do not exist for images (2) or volumes (3)."""
        for name in self.weights:
            if n_axes not in LOSSES[name].axes:
                raise OptionError(f"loss: {name!r} does not exist for data with {n_axes} axes; take another.")

    def __call__(
        self,
        maps: Tensor | Sequence[Tensor],
        target: Tensor,
        *,
        weight: Tensor | None = None,
        class_weight: Tensor | None = None,
        distance: Tensor | None = None,
    ) -> LossValue:
        """Return the loss of maps (B, M, *S); the mean over outputs where the network is supervised in its depth."""
        if not isinstance(maps, Tensor):
            each = [self(m, target, weight=weight, class_weight=class_weight, distance=distance) for m in maps]
            parts = {n: torch.stack([e.parts[n] for e in each]).mean() for n in self.weights}
            return LossValue(torch.stack([e.total for e in each]).mean(), parts)
        with torch.autocast(maps.device.type, enabled=False):
            batch = Batch.of(maps, target, weight=weight, class_weight=class_weight, distance=distance)
            values = {n: LOSSES[n].compute(batch, **self.options.get(n, {})) for n in self.weights}
            total = torch.stack([self.weights[n] * v for n, v in values.items()]).sum()
        return LossValue(total, {n: v.detach() for n, v in values.items()})


def _number(value: Any, what: str, least: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value < math.inf:
        raise OptionError(f"loss: {what} must be a number of at least {least:g}, got {value!r}.")
    return value
