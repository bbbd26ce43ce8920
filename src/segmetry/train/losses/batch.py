"""What every loss sees: maps and truth of a batch, in full precision, with unknown pixels taken out once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from segmetry.errors import ShapeMismatchError
from segmetry.train.weight_maps import IGNORE


@dataclass(frozen=True, eq=False)
class Batch:
    """Logits and truth of B images of sides S (two or three), made by `Batch.of`.

    Parameters
    ----------
    logits : (B, M, *S) tensor
        One map for two classes, else one per class; 0 where nothing is known.
    target : (B, *S) int64 tensor
        Class numbers; 0 where nothing is known.
    weight : (B, *S) tensor
        Weight of each pixel; 0 where nothing is known.
    class_weight : (n_classes,) tensor or None
    distance_map, distance : (B, *S) tensor or None
        What the auxiliary map says, and what it should say; see `segmetry.train.losses.distance`.
    """

    logits: Tensor
    target: Tensor
    weight: Tensor
    class_weight: Tensor | None = None
    distance_map: Tensor | None = None
    distance: Tensor | None = None

    @classmethod
    def of(
        cls,
        maps: Tensor,
        target: Tensor,
        *,
        weight: Tensor | None = None,
        class_weight: Tensor | None = None,
        distance: Tensor | None = None,
    ) -> Batch:
        """Return the batch of the maps of a network.

        Parameters
        ----------
        maps : (B, M, *S) tensor
            Logits; where `distance` is given, the last map is the auxiliary one.
        target : (B, *S) int64 tensor
            Class numbers, `IGNORE` where nobody labelled.
        weight : (B, *S) tensor, optional
            Not negative.
        class_weight : (n_classes,) tensor, optional
        distance : (B, *S) tensor, optional

        Raises
        ------
        ShapeMismatchError
            If something does not lie on the maps, or there are not as many class weights as classes.
        """
        known = target != IGNORE
        wide = maps.double() if maps.dtype == torch.float64 else maps.float()
        for name, array in (("target", target), ("weight", weight), ("distance", distance)):
            if array is not None and array.shape != (len(maps), *maps.shape[2:]):
                raise ShapeMismatchError(
                    f"loss: the maps are {tuple(maps.shape)} but {name} is {tuple(array.shape)}; "
                    "batch and sides have to be the same."
                )
        # `where`, not a product: what stands at unknown pixels may be infinite.
        wide = torch.where(known[:, None], wide, 0)
        logits, aside = (wide, None) if distance is None else (wide[:, :-1], wide[:, -1])
        n_classes = max(2, logits.shape[1])
        if class_weight is not None and class_weight.shape != (n_classes,):
            raise ShapeMismatchError(
                f"loss: {n_classes} classes need as many class weights, got {tuple(class_weight.shape)}."
            )
        share = known.to(wide.dtype) if weight is None else torch.where(known, weight.to(wide.dtype), 0)
        return cls(
            logits,
            torch.where(known, target, 0),
            share,
            None if class_weight is None else class_weight.to(wide),
            aside,
            None if distance is None else torch.where(known, distance.to(wide.dtype), 0),
        )

    @property
    def is_binary(self) -> bool:
        """Whether one map stands for two classes."""
        return self.logits.shape[1] == 1

    @cached_property
    def probability(self) -> Tensor:
        """(B, M, *S): of class 1 where one map stands for two classes."""
        return torch.sigmoid(self.logits) if self.is_binary else torch.softmax(self.logits, dim=1)

    @cached_property
    def log_probability(self) -> Tensor:
        """(B, M, *S): finite for any finite logit."""
        return functional.logsigmoid(self.logits) if self.is_binary else torch.log_softmax(self.logits, dim=1)

    @cached_property
    def truth(self) -> Tensor:
        """(B, M, *S): 1 where a map's class is, else 0."""
        if self.is_binary:
            return self.target[:, None].to(self.logits.dtype)
        classes = torch.arange(self.logits.shape[1], device=self.target.device)
        return (self.target[:, None] == classes.view(-1, *[1] * (self.target.ndim - 1))).to(self.logits.dtype)

    @cached_property
    def cross_entropy(self) -> Tensor:
        """(B, *S): minus the log probability of the true class, in nats."""
        if self.is_binary:
            return functional.binary_cross_entropy_with_logits(self.logits, self.truth, reduction="none")[:, 0]
        return functional.cross_entropy(self.logits, self.target, reduction="none")

    @property
    def map_weight(self) -> Tensor:
        """(M,): weights of the maps' classes in a mean over maps; one map alone has 1."""
        if self.is_binary or self.class_weight is None:
            return self.logits.new_ones(self.logits.shape[1])
        return self.class_weight

    @property
    def space(self) -> tuple[int, ...]:
        """Dimensions of the sides in tensors (B, M, *S)."""
        return tuple(range(2, self.logits.ndim))

    def pixel_mean(self, value: Tensor) -> Tensor:
        """Return the mean of (B, *S) over pixels, each by its weight and the weight of its true class."""
        weight = self.weight if self.class_weight is None else self.weight * self.class_weight[self.target]
        return weighted_mean(value, weight)


def weighted_mean(value: Tensor, weight: Tensor) -> Tensor:
    """Return ``sum(weight value) / sum(weight)``, and 0 where nothing weighs."""
    total = weight.sum()
    return (value * weight).sum() / torch.where(total > 0, total, 1)


def over(part: Tensor, whole: Tensor) -> Tensor:
    """Return ``part / whole``, and 0 where `whole` is 0."""
    return part / torch.where(whole > 0, whole, 1)
