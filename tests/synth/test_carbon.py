"""Carbon supports: thickness of what they are made of, and where there is nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.synth import carbon, simulate


def test_a_ball_has_the_volume_of_a_ball_and_may_lie_outside():
    film = np.zeros((90, 80), np.float32)
    carbon._add_ball(film, 44.3, 39.8, 30.0)
    assert film.sum() == pytest.approx(4 / 3 * math.pi * 30**3, rel=1e-3)
    assert film.max() == pytest.approx(60, rel=1e-3)
    half = np.zeros((90, 80), np.float32)
    carbon._add_ball(half, -0.5, 40.0, 30.0)
    assert half.sum() == pytest.approx(2 / 3 * math.pi * 30**3, rel=2e-3)
    far = np.zeros((90, 80), np.float32)
    carbon._add_ball(far, -40.0, 200.0, 30.0)
    assert far.max() == 0


def test_one_nanotube_is_thickest_at_the_wall_and_thinner_in_its_hollow(monkeypatch):
    monkeypatch.setitem(carbon.LEAST_COVER, "nanotubes", 0.0)
    for seed in range(5):
        film = carbon.nanotubes((300, 300), 60.0, np.random.default_rng(seed))
        # Outer radius R and hollow r: 2 sqrt(R^2 - r^2) at the wall of the hollow, 2 (R - r) in the middle,
        # where r is a quarter to half of R, and R varies by a fifth around 30 px.
        assert 2 * 30 * math.exp(-0.2 * 4) * math.sqrt(0.75) < film.max() < 2 * 30 * math.exp(0.2 * 4)
        # Lines that cross the whole tube, and do not graze it where it waves.
        lines = [
            x for x in (*film, *film.T) if x[0] == x[-1] == 0 and x.max() > 0.97 * film.max() and (x > 0).sum() < 150
        ]
        assert lines
        for line in lines:
            across = np.flatnonzero(line)
            assert line[across[len(across) // 2]] < 0.9 * line.max()


@pytest.mark.parametrize(("support", "least"), carbon.LEAST_COVER.items())
def test_supports_cover_as_much_as_they_say(support, least):
    film = carbon.CARBONS[support]((256, 300), 50.0, np.random.default_rng(1))
    assert film.dtype == np.float32
    cover = (film > 0).mean()
    assert cover == 1 if support == "cathode" else least <= cover < 0.9


@pytest.mark.parametrize("support", ["nanotubes", "carbon-powder"])
def test_no_particle_lies_beside_its_carbon(support):
    options = {"support": support, "support_grain": 0.0, "dose": None, "bits": 0, "blur_px": 0.0, "median_diameter": 8}
    n_missing = 0
    for seed in range(3):
        empty = simulate("haadf-stem", seed=seed, n=0, **options).image.pixels
        taken = simulate("haadf-stem", seed=seed, n=80, **options).truth
        at = np.clip(np.rint(taken[["centroid-0", "centroid-1"]].to_numpy()).astype(int), 0, 511)
        assert (empty[at[:, 0], at[:, 1]] > 0).all()
        n_missing += len(simulate("haadf-stem", seed=seed, n=80, **{**options, "support": "flat"}).truth) - len(taken)
    assert n_missing > 50


def test_wider_tubes_cover_the_same_frame_with_fewer_edges():
    def outline(size):
        film = simulate(
            "haadf-stem", n=0, support="nanotubes", support_size_px=size, support_grain=0, dose=None, bits=0
        )
        return np.abs(np.diff((film.image.pixels > 0.001).astype(int), axis=0)).sum()

    assert outline(30.0) > 1.4 * outline(90.0)


def test_bright_field_stem_obeys_the_law_of_bright_field_tem():
    a, b = (simulate(kind, seed=4, n=6, dose=None, bits=0, support="cathode") for kind in ("bf-tem", "bf-stem"))
    assert np.array_equal(a.image.pixels, b.image.pixels)
