"""Arrays in, arrays out: what is done to pixels before they are segmented."""

from segmetry.prepare.filters import box_mean, box_mean_std, gaussian
from segmetry.prepare.noise import noise_sigma
from segmetry.prepare.valid import as_finite, fill_invalid

__all__ = ["as_finite", "box_mean", "box_mean_std", "fill_invalid", "gaussian", "noise_sigma"]
