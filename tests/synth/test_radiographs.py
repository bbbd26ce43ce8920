"""Simulated radiographs and scans: attenuation, noise, spots and slices are what the record says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.synth import path_lengths
from segmetry.synth.radiographs import RadiographScene, simulate_radiograph, simulate_scan

IDEAL = {
    "scatter_share": 0.0,
    "distance": 0.0,
    "scintillator_px": 0.0,
    "tail_share": 0.0,
    "gain_spread": 0.0,
    "ring_share": 0.0,
    "hot_share": 0.0,
    "dead_share": 0.0,
    "gamma_rate": 0.0,
}
SMALL = {"frame_shape": (96, 128), "n_open": 2, "n_dark": 2}


def test_same_seed_same_bytes_and_the_record_makes_it_again():
    first = simulate_radiograph(seed=4, **SMALL)
    again = simulate_radiograph(**first.parameters)
    other = simulate_radiograph(seed=5, **SMALL)
    for name in ("frames", "open_beams", "darks", "spots", "attenuation"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))


def test_neutrons_are_those_of_the_flux():
    o = RadiographScene(flux=2e6, exposure=10.0, efficiency=0.5, pixel_size=100.0, unit="µm")
    assert o.neutrons == pytest.approx(2e6 * 10 * 0.5 * 0.01**2)


def test_a_wedge_by_beer_and_lambert():
    scene = simulate_radiograph(object="wedge", attenuation=0.2, thickness=10.0, **SMALL, **IDEAL)
    line = scene.attenuation[0, 48]
    assert line.max() == pytest.approx(2.0, rel=0.02)
    assert np.diff(line[14:114]) == pytest.approx(2.0 / (0.8 * 128), rel=0.02)
    assert (scene.attenuation[0, :8] == 0).all()
    np.testing.assert_allclose(scene.transmission, np.exp(-scene.attenuation), rtol=1e-5)


def test_steps_are_flat():
    path = path_lengths.wedge((100, 200), 12.0, 4)
    assert np.unique(path[50, 25:175].round(4)).size <= 7  # four steps, and the pixels between them
    assert [path[50, c].round(4) for c in (30, 70, 120, 170)] == [3, 6, 9, 12]


def test_the_path_through_balls_and_rods_is_their_volume():
    rng = np.random.default_rng(0)
    ball = path_lengths.balls((200, 200), 30.0, 1.0, 1, np.random.default_rng(3))
    assert ball.sum() == pytest.approx(math.pi / 6 * 30**3, rel=0.01)
    assert ball.max() == pytest.approx(30, rel=0.01)
    tubes = path_lengths.cylinders((50, 300), 40.0, 1.0, 3, rng)
    assert tubes[0].sum() == pytest.approx(3 * math.pi * 20**2, rel=0.01)
    rod = path_lengths.rods((200, 200), 20.0, 1.0, 1, rng)
    assert 20 <= rod.max() <= 40.1


def test_noise_is_root_n_where_nothing_blurs():
    scene = simulate_radiograph(object="none", unevenness=0.0, exposure=10.0, n_frames=2, **SMALL, **IDEAL)
    neutrons = RadiographScene(**scene.parameters).neutrons
    difference = scene.frames[0].astype(float) - scene.frames[1]
    signal = scene.frames.mean() - np.median(scene.darks)
    snr = signal / (difference.std() / math.sqrt(2))
    # 15 electrons a neutron: their own chance adds a fifteenth to the variance.
    assert snr == pytest.approx(math.sqrt(neutrons / (1 + 1 / 15)), rel=0.03)
    assert scene.noise.mean() == pytest.approx(difference.std() / math.sqrt(2), rel=0.03)


def test_the_stated_noise_holds_with_every_blur():
    o = {"object": "steps", "n_frames": 12, "gamma_rate": 0.0, "frame_shape": (96, 128), "n_open": 1, "n_dark": 1}
    scene = simulate_radiograph(**o)
    measured = scene.clean.astype(float).var(axis=0, ddof=1)
    for part in (scene.attenuation[0] == 0, scene.attenuation[0] > 1.5):
        assert measured[part].mean() == pytest.approx((scene.noise[0] ** 2)[part].mean(), rel=0.06)


def test_frames_are_clean_ones_and_spots():
    scene = simulate_radiograph(seed=1, frame_shape=(256, 256), n_open=1, n_dark=1)
    good = ~scene.bad & (scene.frames[0] < 65535)
    off = scene.frames[0].astype(float) - scene.clean[0] - scene.deposit[0]
    assert abs(off[good]).max() <= 1  # both are rounded
    np.testing.assert_array_equal(scene.spots[0] > 0, (scene.deposit / scene.noise)[0] >= 3)
    table = scene.truth
    assert len(table) == pytest.approx(100 * 30 * 256**2 / 1e6, abs=4 * math.sqrt(197))
    seen = table.set_index("spot")["n_visible"]
    for spot, n in zip(*np.unique(scene.spots[scene.spots > 0], return_counts=True)):
        assert seen[spot] == n
    assert ((table["peak"] >= 3) == (table["n_visible"] > 0)).all()
    assert table.attrs["units"]["charge"] == "e-"


def test_spots_are_sharper_than_the_picture():
    o = {"scintillator_px": 3.0, "gamma_gsd": 1.0, "streak_share": 0.0, **SMALL}
    scene = simulate_radiograph(seed=1, gamma_charge=1e5, **o)
    (spot,) = scene.truth.query("n_visible > 0")["spot"].head(1)
    own = np.where(scene.spots[0] == spot, scene.deposit[0], 0)
    assert (own > own.max() / 4).sum() <= 4


def test_a_flat_field_takes_everything_away_but_the_drift():
    o = {**IDEAL, "ring_share": 0.02, "ring_gain": 0.2, "gain_spread": 0.05, "flux": 1e8, "electrons_per_count": 10.0}
    scene = simulate_radiograph(object="none", exposure=10.0, frame_shape=(96, 128), n_open=20, n_dark=5, **o)
    dark = scene.darks.mean(axis=0)
    flat = (scene.frame - dark) / (scene.open_beams.mean(axis=0) - dark)
    assert abs(flat[~scene.bad] - 1).max() < 0.1
    assert flat[scene.bad].std() == pytest.approx(0.2, rel=0.2)


def test_hot_and_dead_pixels_are_the_same_in_every_exposure():
    scene = simulate_radiograph(seed=2, hot_share=0.01, dead_share=0.01, n_frames=2, gamma_rate=0.0, **SMALL)
    stuck = (scene.frames < 400).all(axis=0)
    assert stuck.mean() == pytest.approx(0.01, abs=0.004)
    assert scene.bad[stuck].all()
    assert (scene.open_beams[:, stuck] < 400).all()
    hot = (scene.darks > 1500).all(axis=0)
    assert hot.mean() == pytest.approx(0.01, abs=0.004)
    assert scene.bad[hot].all()
    assert (scene.clean < 65535).all()


@pytest.mark.slow  # imports scikit-image
def test_slices_of_a_scan_come_back():
    from skimage.transform import iradon

    o = {**IDEAL, "pixel_size": 0.25, "flux": 1e9, "electrons_per_neutron": 0.1, "unevenness": 0.0}
    scan = simulate_scan(seed=3, n_angles=120, frame_shape=(4, 96), bodies=6, **o)
    # Expected transmissions: what is tested is the geometry.
    sinogram = -np.log(scan.transmission[:, 2, :]).T
    image = iradon(sinogram, scan.angles, filter_name="ramp", circle=True) / scan.calibration.spacing[1]
    right = scan.section(2)
    row, col = np.ogrid[:96, :96]
    inside = np.hypot(row - 48, col - 48) < 44
    assert right.max() == pytest.approx(0.11, rel=0.02)
    assert np.corrcoef(image[inside], right[inside])[0, 1] > 0.97
    assert np.corrcoef(image[inside], right[:, ::-1][inside])[0, 1] < 0.8
    assert np.median(image[right > 0.1]) == pytest.approx(0.11, rel=0.03)


def test_a_scan_projects_its_sections():
    scan = simulate_scan(seed=1, n_angles=2, frame_shape=(6, 80), pixel_size=0.3, bodies=5, **IDEAL)
    for k, axis in ((0, 0), (1, 1)):  # along the depth, then along the columns, mirrored
        line = scan.section(3).sum(axis=axis) * 0.3
        line = np.roll(line[::-1], 1) if axis else line
        assert abs(line - scan.attenuation[k, 3]).max() < 0.03 * line.max()


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"object": "wegde"}, "did you mean 'wedge'"),
        ({"flx": 3}, "did you mean 'flux'"),
        ({"flux": -1.0}, "flux must be from 0"),
        ({"unit": "px"}, "a flux needs a length"),
        ({"frame_shape": (1, 5)}, "frame_shape"),
    ],
)
def test_options_out_of_range(wrong, text):
    with pytest.raises(OptionError, match=text):
        simulate_radiograph(**wrong)


def test_no_beam_and_no_angle():
    scene = simulate_radiograph(flux=0.0, **SMALL, **IDEAL)
    assert scene.frame.mean() == pytest.approx(300 + 15, abs=1)  # offset and dark current
    assert np.isfinite(scene.transmission).all()
    with pytest.raises(OptionError, match="n_angles"):
        simulate_scan(n_angles=0)
