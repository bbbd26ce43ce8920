"""Losses of segmentation: one file per family, one table, and weighted sums of them."""

from segmetry.train.losses.table import LOSSES, Loss, LossKind, LossValue

__all__ = ["LOSSES", "Loss", "LossKind", "LossValue"]
