"""The loss of a distance head: an auxiliary map learns how deep inside its object each pixel lies."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from segmetry.errors import OptionError
from segmetry.train.losses.batch import Batch, weighted_mean


def distance(batch: Batch, *, beta: float = 0.1) -> Tensor:
    """Return the smooth L1 loss of the auxiliary map against `segmetry.train.weight_maps.distance_target`.

    Parameters
    ----------
    batch : Batch
        With a distance map and its target.
    beta : float
        Error up to which it is ``error^2 / (2 beta)``; beyond, ``|error| - beta / 2``.

    Notes
    -----
    The mean over pixels by their weights. The map is taken as it is: distances are in [0, 1], and nothing holds the map
    there. Class weights do not enter.

    References
    ----------
    Smooth L1: Girshick, ICCV 2015, 10.1109/ICCV.2015.169. Learning a distance map beside the classes: Bischke et al.,
    ICIP 2019, 10.1109/ICIP.2019.8803050 (in classes of distance); Naylor et al., IEEE TMI 2019,
    10.1109/TMI.2018.2865709 (as a regression).
    """
    if batch.distance is None or batch.distance_map is None:
        raise OptionError("loss: 'distance' needs a network with a distance map, and its target; leave it out.")
    return weighted_mean(
        functional.smooth_l1_loss(batch.distance_map, batch.distance, beta=beta, reduction="none"), batch.weight
    )
