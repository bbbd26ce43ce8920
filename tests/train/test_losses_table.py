"""Sums of losses as a recipe names them, and what is wrong with a recipe."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from segmetry.errors import OptionError, RecipeError  # noqa: E402
from segmetry.train.losses import LOSSES, Loss  # noqa: E402

pytestmark = pytest.mark.torch


def batch(seed=0, maps=3):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(2, maps, 12, 13))), torch.from_numpy(rng.integers(-1, 3, (2, 12, 13)))


def test_a_sum_is_the_sum_of_its_parts():
    maps, target = batch()
    loss = Loss.from_dict({"dice": 1, "cross-entropy": 0.5, "focal": {"weight": 2, "gamma": 3}})
    got = loss(maps, target)
    parts = {
        "dice": LOSSES["dice"](maps, target),
        "cross-entropy": LOSSES["cross-entropy"](maps, target),
        "focal": LOSSES["focal"](maps, target, gamma=3),
    }
    assert {k: v.item() for k, v in got.parts.items()} == {k: v.item() for k, v in parts.items()}
    total = parts["dice"] + 0.5 * parts["cross-entropy"] + 2 * parts["focal"]
    assert got.total.item() == pytest.approx(total.item(), rel=1e-12)


def test_the_slope_of_a_sum_is_the_sum_of_slopes():
    maps, target = batch()
    maps.requires_grad_()
    (whole,) = torch.autograd.grad(Loss.from_dict({"lovasz": 2, "cross-entropy": 0.5})(maps, target).total, maps)
    (a,) = torch.autograd.grad(LOSSES["lovasz"](maps, target), maps)
    (b,) = torch.autograd.grad(LOSSES["cross-entropy"](maps, target), maps)
    torch.testing.assert_close(whole, 2 * a + 0.5 * b, rtol=1e-12, atol=1e-15)


def test_several_outputs_of_a_deeply_supervised_network_are_averaged():
    maps, target = batch()
    loss = Loss.from_dict({"dice": 1, "cross-entropy": 0.5})
    both, one, two = loss((maps, 2 * maps), target), loss(maps, target), loss(2 * maps, target)
    assert both.total.item() == pytest.approx((one.total + two.total).item() / 2, rel=1e-12)
    assert both.parts["dice"].item() == pytest.approx((one.parts["dice"] + two.parts["dice"]).item() / 2, rel=1e-12)


def test_the_last_map_is_the_distance_where_one_is_learned():
    maps, target = batch(maps=4)
    goal = torch.rand(2, 12, 13, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    loss = Loss.from_dict({"cross-entropy": 1, "distance": 3})
    assert loss.needs_distance
    got = loss(maps, target, distance=goal).parts
    assert got["cross-entropy"].item() == LOSSES["cross-entropy"](maps[:, :3], target).item()
    assert got["distance"].item() == LOSSES["distance"](maps, target, distance=goal).item()
    assert not Loss.from_dict({"dice": 1}).needs_distance


def test_every_loss_reads_back_from_its_dictionary():
    for kind in LOSSES.values():
        assert set(kind.least) == set(kind.options)
        data = {kind.name: {"weight": 0.5, **kind.options}}
        again = Loss.from_dict(Loss.from_dict(data).as_dict())
        assert again == Loss.from_dict(data)


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ("dice", RecipeError, "a table such as"),
        ({}, RecipeError, "a table such as"),
        ({"dice": 0}, RecipeError, "every weight is 0"),
        ({"dyce": 1}, OptionError, "did you mean 'dice'"),
        ({"dice": -1}, OptionError, "weight of dice must be a number of at least 0, got -1"),
        ({"dice": "much"}, OptionError, "weight of dice must be a number"),
        ({"dice": float("nan")}, OptionError, "weight of dice must be a number"),
        ({"dice": True}, OptionError, "weight of dice must be a number"),
        ({"focal": {"gama": 2}}, OptionError, "did you mean 'gamma'"),
        ({"focal": {"gamma": -2}}, OptionError, "gamma of focal must be a number of at least 0"),
        ({"cldice": {"iterations": 2.5}}, OptionError, "iterations of cldice must be a whole number"),
        ({3: 1}, OptionError, "there is no loss 3"),
    ],
)
def test_wrong_recipes_are_one_clear_line(data, error, text):
    with pytest.raises(error, match=text) as found:
        Loss.from_dict(data)
    assert "\n" not in str(found.value)


def test_losses_of_images_only_are_refused_for_volumes():
    loss = Loss.from_dict({"dice": 1, "betti": 0.1})
    loss.check_axes(2)
    with pytest.raises(OptionError, match="'betti' does not exist for data with 3 axes"):
        loss.check_axes(3)
