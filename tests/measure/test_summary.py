"""The summary of one image, on scenes whose numbers are known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from segmetry.errors import ShapeMismatchError
from segmetry.measure.distributions import distribution
from segmetry.measure.summary import summarise
from segmetry.measure.table import measure
from segmetry.types import Calibration

NM = Calibration((0.5, 0.5), "nm", 0.01, "user")


def disks(rng, side=400, density=0.004, low=5.0, high=80.0):
    """Return the table (in units of half a pixel) of disks thrown at random, as `measure` would give it."""
    reach = side + high
    n = rng.poisson(density * reach**2)
    d = rng.uniform(low, high, n)
    centre = rng.uniform(-high / 2, side + high / 2, (n, 2))
    visible = np.all((centre > -d[:, None] / 2) & (centre < side + d[:, None] / 2), axis=1)
    inside = np.all((centre > d[:, None] / 2) & (centre < side - d[:, None] / 2), axis=1)
    weight = np.where(inside, side**2 / np.abs(side - d) ** 2, np.nan)
    table = pd.DataFrame(
        {
            "equivalent_diameter": d * 0.5,
            "aspect_ratio": rng.uniform(1, 1.5, n),
            "centroid-0": centre[:, 0] - 0.5,
            "centroid-1": centre[:, 1] - 0.5,
            "edge_weight": weight,
        }
    )[visible].reset_index(drop=True)
    table.attrs["units"] = {"equivalent_diameter": "nm", "aspect_ratio": "", "edge_weight": ""}
    return table


def test_number_per_area_does_not_depend_on_size():
    """Large and small disks at one density in a small frame: the weights give the density, the plain count does not."""
    rng = np.random.default_rng(0)
    found = [summarise(disks(rng), frame_shape=(400, 400), calibration=NM)["number_density"] for _ in range(30)]
    values = np.array([f.value for f in found])
    truth = 0.004 / 0.25  # per nm^2
    error = values.std(ddof=1) / math.sqrt(30)
    assert values.mean() == pytest.approx(truth, abs=4 * error)
    assert error < 0.015 * truth
    assert found[0].unit == "nm^-2"
    assert np.mean([f.low < truth < f.high for f in found]) > 0.85


def test_size_statistics_are_those_of_the_distribution():
    table = disks(np.random.default_rng(1))
    found = summarise(table, frame_shape=(400, 400), calibration=NM)
    for name, estimate in distribution(table, rel_uncertainty=0.01).estimates.items():
        # nan is not equal to itself, so compare what is printed.
        assert str(found[name].as_dict()) == str(estimate.as_dict())
    weights = table["edge_weight"].fillna(0)
    assert found["aspect_ratio"].value == pytest.approx(np.average(table["aspect_ratio"], weights=weights))


def test_lengths_follow_the_unit():
    table = disks(np.random.default_rng(2))
    table["area"] = np.pi / 4 * table["equivalent_diameter"] ** 2
    scaled = table.assign(equivalent_diameter=table["equivalent_diameter"] * 2000, area=table["area"] * 4e6)
    scaled.attrs["units"] = {"equivalent_diameter": "pm", "aspect_ratio": "", "edge_weight": ""}
    pm = Calibration((1000, 1000), "pm", 0.01, "user")
    a = summarise(table, frame_shape=(400, 400), calibration=NM)
    b = summarise(scaled, frame_shape=(400, 400), calibration=pm)
    powers = {"d50": 1, "mean": 1, "span": 0, "number_density": -2, "area_fraction": 0, "nearest_neighbour_distance": 1}
    for name, power in powers.items():
        for end in ("value", "low", "high"):
            assert getattr(b[name], end) == pytest.approx(getattr(a[name], end) * 2000**power, rel=1e-6), name
    assert b["number_density"].unit == "pm^-2"


def test_area_fraction_by_hand():
    table = pd.DataFrame({"area": [10.0, 30.0], "centroid-0": [1.0, 2.0], "centroid-1": [1.0, 5.0]})
    found = summarise(table, frame_shape=(10, 20), calibration=Calibration.unknown())
    assert found["area_fraction"].value == pytest.approx(40 / 200)
    assert found["number_density"].value == pytest.approx(2 / 200)
    assert "d50" not in found


def test_a_frame_that_does_not_start_at_zero():
    table = disks(np.random.default_rng(3))
    moved = table.assign(**{"centroid-0": table["centroid-0"] + 37})
    moved.attrs = table.attrs
    a = summarise(table, frame_shape=(400, 400), calibration=NM)
    b = summarise(moved, frame_shape=(400, 400), frame_origin=(37, 0), calibration=NM)
    for name in ("number_density", "nearest_neighbour_distance", "clark_evans"):
        assert b[name].low == pytest.approx(a[name].low, rel=1e-9)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_particles(n):
    found = summarise(disks(np.random.default_rng(4))[:n], frame_shape=(400, 400), calibration=NM)
    assert math.isnan(found["d50"].low)
    assert found["number_density"].high > 0
    assert found["number_density"].n <= n


def test_volumes_and_bad_frames():
    rng = np.random.default_rng(5)
    table = pd.DataFrame({f"centroid-{k}": rng.uniform(0, 10, 40) for k in range(3)} | {"volume": np.ones(40)})
    found = summarise(table, frame_shape=(10, 10, 10), calibration=Calibration((2, 2, 2), "µm"))
    assert found["number_density"].value == pytest.approx(40 / 8000)
    assert found["number_density"].unit == "µm^-3"
    assert found["volume_fraction"].value == pytest.approx(40 / 8000)
    with pytest.raises(ShapeMismatchError, match="3 axes"):
        summarise(table, frame_shape=(10, 10, 10), calibration=NM)


def test_the_table_of_a_volume_gives_its_volume_fraction():
    labels = np.zeros((20, 30, 40), np.int32)
    labels[4:10, 5:15, 6:16], labels[12:16, 18:24, 20:30] = 1, 2
    spacing = Calibration((3.0, 0.5, 0.25), "nm", 0.01, "user")
    found = summarise(measure(labels, calibration=spacing), frame_shape=labels.shape, calibration=spacing)
    assert found["volume_fraction"].value == pytest.approx(np.mean(labels > 0))
    assert "area_fraction" not in found


def test_a_share_of_the_area_ends_at_one():
    labels = np.zeros((100, 100), np.int32)
    for k, (row, col) in enumerate(((2, 2), (52, 2), (2, 52), (52, 52)), start=1):
        labels[row : row + 44, col : col + 44] = k
    table = measure(labels)
    for more in ({}, {"border": 4.0}, {"samples": [table, table, table[:3]], "border": 4.0}):
        found = summarise(table, frame_shape=labels.shape, calibration=Calibration.unknown(), **more)
        share = found["area_fraction"]
        assert share.value == pytest.approx(4 * 44**2 / 1e4)
        assert share.low < share.value < share.high <= 1
        assert "samples" not in more or share.value < share.this_image.high <= 1


def test_a_frame_that_cuts_every_particle_knows_no_density():
    """Two slabs fill the frame: "no particle, at most 3.7 per frame" would be wrong."""
    labels = np.ones((50, 50), np.int32)
    labels[:, 24:] = 0
    labels[:, 26:] = 2
    found = summarise(measure(labels), frame_shape=labels.shape, calibration=Calibration.unknown())["number_density"]
    assert math.isnan(found.value)
    assert math.isnan(found.high)
    assert "cuts all 2 particles" in found.note
    labels = np.zeros((50, 50), np.int32)
    labels[:4, 10:30] = 1  # 20 px long: seen whole with a chance of 0.58 ** 2 at most
    found = summarise(measure(labels), frame_shape=labels.shape, calibration=Calibration.unknown())["number_density"]
    assert found.value == 0
    assert found.high > -math.log(0.025) / 2500 / 0.58**2
    empty = summarise(measure(0 * labels), frame_shape=labels.shape, calibration=Calibration.unknown())
    assert empty["number_density"].value == 0
    assert empty["number_density"].high == pytest.approx(-math.log(0.025) / 2500)


def test_weights_stand_for_all_places_of_a_frame_with_text_in_it():
    """One box at every place of a small frame: those that count stand, together, for every place there is."""
    ignore = np.zeros((24, 31), bool)
    ignore[6:9, 12:20] = True  # text
    ignore[20:] = True  # a footer
    frame = (20, 31)
    total, n = 0.0, 0
    for top in range(frame[0] - 3):
        for left in range(frame[1] - 4):
            labels = np.zeros(ignore.shape, np.int32)
            labels[top : top + 4, left : left + 5] = 1
            table = measure(labels, ignore=ignore, measures=["edge_weight", "touches_edge", "over_text"])
            weight = table["edge_weight"][0]
            assert np.isnan(weight) == (table["touches_edge"][0] or table["over_text"][0])
            total, n = total + np.nan_to_num(weight), n + np.isfinite(weight)
    assert 0 < n < 15 * 25
    assert total == pytest.approx(frame[0] * frame[1], rel=1e-12)


@pytest.mark.slow
def test_text_in_the_frame_biases_neither_number_nor_area_nor_size():
    """An inset of 13 % of the frame over small and large disks: without its places the density comes out 19 % low."""
    rng = np.random.default_rng(5)
    side, density = 400, 40 / 400**2
    ignore = np.zeros((side, side), bool)
    ignore[30:140, 200:390] = True
    rows, cols = np.indices(ignore.shape)
    ratios = []
    for _ in range(150):
        labels = np.zeros(ignore.shape, np.int32)
        for k in range(rng.poisson(density * (side + 80) ** 2)):
            centre, radius = rng.uniform(-40, side + 40, 2), rng.choice([6, 25], p=[0.7, 0.3])
            labels[((rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 <= radius**2) & (labels == 0)] = k + 1
        with_text, without = (
            summarise(
                measure(np.where(hidden, 0, labels), ignore=hidden),
                frame_shape=labels.shape,
                calibration=Calibration.unknown(),
                seen=1 - hidden.mean(),
            )
            for hidden in (ignore, np.zeros_like(ignore))
        )
        names = ("number_density", "area_fraction", "mean")
        ratios.append([with_text[name].value / without[name].value for name in names])
    ratio, error = np.mean(ratios, axis=0), np.std(ratios, axis=0) / math.sqrt(len(ratios))
    assert np.all(error < 0.02)
    assert np.all(np.abs(ratio - 1) < 4 * error)
