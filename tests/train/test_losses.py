"""What holds for every loss in the table: laws, limits, slopes by finite differences, and that unknown is unknown."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from segmetry.errors import OptionError, ShapeMismatchError  # noqa: E402
from segmetry.train.losses import LOSSES  # noqa: E402

pytestmark = pytest.mark.torch

EVERY = [pytest.param(kind, maps, axes, id=f"{kind.name}-{maps}-{axes}d")
         for kind in LOSSES.values() for maps in (1, 3) for axes in kind.axes]  # fmt: skip
SHAPES = {2: (9, 11), 3: (5, 6, 7)}
AT_BEST = {"unet++": -1.0}
"""What a perfect prediction has, where it is not 0."""


def scene(maps, axes, seed=0, n=2):
    """Return logits, a target with unknown pixels, pixel weights, class weights, and what else the loss needs."""
    rng = np.random.default_rng(seed)
    shape = (n, *SHAPES[axes])
    target = rng.integers(0, max(2, maps), shape)
    target[rng.random(shape) < 0.2] = -1
    logits = rng.normal(0, 2, (n, maps, *SHAPES[axes]))
    return (
        torch.from_numpy(logits),
        torch.from_numpy(target),
        torch.from_numpy(rng.uniform(0.5, 2, shape)),
        torch.from_numpy(rng.uniform(0.5, 2, max(2, maps))),
    )


def own(kind, logits, seed=1):
    """Return the maps and options of a loss: one more map and its target where it learns a distance."""
    if kind.name != "distance":
        return logits, {}
    rng = np.random.default_rng(seed)
    shape = (len(logits), *logits.shape[2:])
    aside = torch.from_numpy(rng.uniform(-0.5, 1.5, (len(logits), 1, *logits.shape[2:]))).to(logits.dtype)
    return torch.cat([logits, aside], dim=1), {"distance": torch.from_numpy(rng.random(shape))}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "maps", "axes"), EVERY)
def test_slope_is_that_of_finite_differences(kind, maps, axes):
    logits, target, weight, class_weight = scene(maps, axes, n=1)
    values, extra = own(kind, logits)
    values.requires_grad_()
    compute = lambda v: kind(v, target, weight=weight, class_weight=class_weight, **extra)  # noqa: E731
    assert torch.autograd.gradcheck(compute, (values,), eps=1e-6, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(("kind", "maps", "axes"), EVERY)
def test_unknown_pixels_change_nothing(kind, maps, axes):
    logits, target, weight, class_weight = scene(maps, axes)
    values, extra = own(kind, logits)
    unknown = (target == -1)[:, None].expand_as(values)
    results = []
    for filler in (0.0, 1e4, torch.inf, torch.nan):
        at = torch.where(unknown, filler, values).requires_grad_()
        heavier = torch.where(unknown[:, 0], 77.0, weight)
        other = {k: torch.where(unknown[:, 0], 55.0, v) for k, v in extra.items()}
        loss = kind(at, target, weight=heavier, class_weight=class_weight, **other)
        loss.backward()
        assert (at.grad[unknown] == 0).all()
        results.append((loss.item(), at.grad.numpy()))
    for value, slope in results[1:]:
        assert value == results[0][0]
        np.testing.assert_array_equal(slope, results[0][1])


@pytest.mark.parametrize(("kind", "maps", "axes"), EVERY)
def test_where_nothing_is_known_the_loss_is_0_with_a_graph(kind, maps, axes):
    logits, target, *_ = scene(maps, axes)
    values, extra = own(kind, logits)
    values.requires_grad_()
    loss = kind(values, torch.full_like(target, -1), **extra)
    loss.backward()
    assert loss.item() == 0
    assert (values.grad == 0).all()


@pytest.mark.parametrize(("kind", "maps", "axes"), EVERY)
@pytest.mark.parametrize("right", [True, False])
def test_extreme_logits_stay_finite_in_bf16(kind, maps, axes, right):
    _, target, *_ = scene(maps, axes)
    truth = torch.clamp(target, min=0)
    sign = torch.nn.functional.one_hot(truth, max(2, maps)).movedim(-1, 1) * 2 - 1
    values = (1e4 if right else -1e4) * (sign[:, 1:] if maps == 1 else sign)
    values, extra = own(kind, values.to(torch.bfloat16))
    values.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = kind(values, target, **extra)
    assert loss.dtype == torch.float32
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(values.grad).all()
    if right and kind.name != "distance":
        assert loss.item() == pytest.approx(AT_BEST.get(kind.name, 0), abs=1e-6)


@pytest.mark.parametrize(("kind", "maps", "axes"), EVERY)
def test_single_precision_gives_the_same_as_double(kind, maps, axes):
    logits, target, weight, class_weight = scene(maps, axes)
    values, extra = own(kind, logits)
    double = kind(values, target, weight=weight, class_weight=class_weight, **extra)
    single = kind(values.float(), target, weight=weight, class_weight=class_weight, **extra)
    assert single.item() == pytest.approx(double.item(), rel=1e-5)


@pytest.mark.parametrize(("kind", "maps", "axes"), EVERY)
def test_mirrored_turned_and_shuffled_batches_have_the_same_loss(kind, maps, axes):
    logits, target, weight, class_weight = scene(maps, axes)
    values, extra = own(kind, logits)
    all_of = [values, target, weight, *extra.values()]
    want = kind(values, target, weight=weight, class_weight=class_weight, **extra).item()
    for move in (
        lambda t: t.flip(-1),
        lambda t: t.flip(-2),
        lambda t: t.transpose(-1, -2),
        lambda t: t.flip(0),
    ):
        moved, y, w, *rest = (move(t) for t in all_of)
        got = kind(moved, y, weight=w, class_weight=class_weight, **dict(zip(extra, rest, strict=True)))
        assert got.item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("name", ["cross-entropy", "squared-error", "focal", "dice", "tversky", "unet++", "lovasz"])
def test_names_of_classes_do_not_matter(name):
    logits, target, weight, class_weight = scene(3, 2)
    order = torch.tensor([2, 0, 1])  # the new class k was `order[k]`
    renamed = torch.where(target >= 0, order.argsort()[target.clamp(min=0)], -1)
    want = LOSSES[name](logits, target, weight=weight, class_weight=class_weight)
    got = LOSSES[name](logits[:, order], renamed, weight=weight, class_weight=class_weight[order])
    assert got.item() == pytest.approx(want.item(), rel=1e-12)


@pytest.mark.parametrize("name", ["cross-entropy", "squared-error", "focal", "cldice", "betti"])
def test_two_maps_of_two_classes_are_one_map_of_their_difference(name):
    two, target, weight, class_weight = scene(2, 2)
    one = two[:, 1:] - two[:, :1]
    a, b = (LOSSES[name](z, target, weight=weight, class_weight=class_weight).item() for z in (one, two))
    assert a == pytest.approx(b, rel=1e-12)


@pytest.mark.parametrize(("kind", "maps", "axes"), EVERY)
def test_weights_count_as_shares(kind, maps, axes):
    """Twice the weight everywhere, or twice every class weight, changes nothing but clDice, which adds one pixel."""
    logits, target, weight, class_weight = scene(maps, axes)
    values, extra = own(kind, logits)
    want = kind(values, target, weight=weight, class_weight=class_weight, **extra).item()
    twice = kind(values, target, weight=weight, class_weight=2 * class_weight, **extra).item()
    assert twice == pytest.approx(want, rel=1e-12)
    if kind.name != "cldice":
        twice = kind(values, target, weight=2 * weight, class_weight=class_weight, **extra).item()
        assert twice == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize(("kind", "maps", "axes"), EVERY)
def test_weight_0_is_unknown_and_weight_1_is_none(kind, maps, axes):
    logits, target, *_ = scene(maps, axes)
    values, extra = own(kind, logits)
    want = kind(values, target, **extra)
    known = target != -1
    everywhere = kind(values, target.clamp(min=0), weight=known.double(), **extra).item()
    if kind.name != "cldice":  # whose centre lines go on where pixels weigh nothing
        assert everywhere == pytest.approx(want.item(), rel=1e-12)
    assert kind(values, target, weight=torch.ones_like(values[:, 0]), **extra).item() == want.item()


@pytest.mark.parametrize(("kind", "maps", "axes"), EVERY)
def test_it_falls_along_its_slope_and_repeats_itself(kind, maps, axes):
    logits, target, *_ = scene(maps, axes)
    values, extra = own(kind, logits)
    values.requires_grad_()
    loss = kind(values, target, **extra)
    (slope,) = torch.autograd.grad(loss, values)
    step = 1e-4 / slope.abs().max()
    assert kind(values - step * slope, target, **extra) < loss
    again = kind(values, target, **extra)
    assert again.item() == loss.item()
    assert torch.equal(torch.autograd.grad(again, values)[0], slope)


@pytest.mark.parametrize(("kind", "maps", "axes"), EVERY)
@pytest.mark.parametrize("held", [0, 1])
def test_a_class_that_does_not_occur_gives_finite_numbers(kind, maps, axes, held):
    logits, target, *_ = scene(maps, axes)
    values, extra = own(kind, logits)
    values.requires_grad_()
    loss = kind(values, torch.full_like(target, held), **extra)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(values.grad).all()


def test_wrong_shapes_are_one_clear_line():
    logits, target, weight, _ = scene(3, 2)
    dice = LOSSES["dice"]
    with pytest.raises(ShapeMismatchError, match=r"maps are \(2, 3, 9, 11\) but target is \(2, 9, 10\)"):
        dice(logits, target[..., 1:])
    with pytest.raises(ShapeMismatchError, match="but weight is"):
        dice(logits, target, weight=weight[:1])
    with pytest.raises(ShapeMismatchError, match="3 classes need as many class weights"):
        dice(logits, target, class_weight=torch.ones(2))
    with pytest.raises(OptionError, match="distance map"):
        LOSSES["distance"](logits, target)
    with pytest.raises(OptionError, match="'betti' is for images"):
        LOSSES["betti"](*scene(1, 3)[:2])
