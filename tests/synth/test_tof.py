"""The time-of-flight simulator: edges where crystals put them, cross sections of known size, Poisson counts."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.synth.crystal import ALUMINIUM, IRON, NEUTRON_SPEED, NICKEL, open_spectrum
from segmetry.synth.tof import CLASSES, TofScene, simulate_tof

SMALL = {"frame_shape": (40, 40), "n_bins": 120}


@pytest.mark.parametrize(
    ("crystal", "hkl", "wavelength"),
    [
        (IRON, "110", 2 * 2.8665 / 2**0.5),
        (IRON, "200", 2.8665),
        (NICKEL, "111", 2 * 3.5238 / 3**0.5),
        (NICKEL, "200", 3.5238),
        (ALUMINIUM, "111", 2 * 4.0495 / 3**0.5),
    ],
)
def test_edges_lie_at_twice_the_spacing(crystal, hkl, wavelength):
    found = {e.hkl: e for e in crystal.edges(1.5)}
    assert found[hkl].wavelength == pytest.approx(wavelength, rel=1e-12)
    below, above = crystal.cross_section(np.array([wavelength * (1 - 1e-9), wavelength * (1 + 1e-9)]))
    e = found[hkl]
    # The jump by hand: λ² n b² m d / 2V, damped by thermal motion.
    n, b = crystal.atoms, crystal.scattering_length / 10
    damping = np.exp(-crystal.debye_waller / 2 / e.spacing**2)
    jump = wavelength**2 * n * b**2 * e.multiplicity * e.spacing / (2 * crystal.parameter**3) * damping
    assert below - above == pytest.approx(jump, rel=1e-6)


def test_multiplicities_of_both_lattices():
    assert {e.hkl: e.multiplicity for e in IRON.edges(1.2)} == {
        "110": 12, "200": 6, "211": 24, "220": 12, "310": 24, "222": 8, "321": 48, "400": 6, "411": 36, "420": 24,
        "332": 24,
    }  # fmt: skip
    assert {e.hkl: e.multiplicity for e in NICKEL.edges(1.6)} == {
        "111": 8, "200": 6, "220": 12, "311": 24, "222": 8, "400": 6, "331": 24
    }  # fmt: skip


def test_short_waves_see_the_free_and_bound_atoms():
    # Summed over many planes, Bragg scattering comes near to the whole bound coherent cross section; the thermal
    # part takes over what the damping takes away.
    at = np.array([0.8])
    for crystal, bound, least in ((IRON, 11.62, 0.9), (NICKEL, 18.5, 0.9), (ALUMINIUM, 1.503, 0.8)):
        scattered = crystal.cross_section(at)[0] - crystal.absorption * 0.8 / 1.798
        assert least < scattered / bound < 1.02  # one phonon is left out, which matters most in light aluminium


def test_beyond_the_last_edge_little_is_left():
    # Measured total cross sections of the metals at 4.5 Å are about 6 to 8 barn (Fe), 16 to 18 (Ni).
    assert 6 < IRON.cross_section(np.array([4.5]))[0] < 9
    assert 14 < NICKEL.cross_section(np.array([4.5]))[0] < 19
    assert IRON.attenuation(np.array([4.5]))[0] == pytest.approx(
        0.0849 * IRON.cross_section(np.array([4.5]))[0], rel=1e-3
    )


def test_the_open_beam_is_a_maxwellian():
    grid = np.linspace(0.2, 60, 60000)
    flux = open_spectrum(grid, 300.0)
    # In speed v = 1/λ the flux of a Maxwellian has <v²> = 2 · 2kT/m, so <E> = 2 kT.
    energy = 81.8042 / grid**2
    assert np.sum(flux * energy) / flux.sum() == pytest.approx(2 * 0.08617333 * 300, rel=5e-3)


def test_same_seed_same_bytes_and_another_seed_others():
    one, two, other = simulate_tof(seed=3, **SMALL), simulate_tof(seed=3, **SMALL), simulate_tof(seed=4, **SMALL)
    np.testing.assert_array_equal(one.counts, two.counts)
    assert (one.counts != other.counts).any()
    again = simulate_tof(**one.parameters)
    np.testing.assert_array_equal(one.open_beam, again.open_beam)


def test_six_blocks_three_of_each_metal():
    cube = simulate_tof(seed=0, **SMALL)
    assert cube.counts.shape == cube.open_beam.shape == (120, 40, 40)
    blocks = cube.table[(cube.table.block > 0) & ~cube.table.treated]
    assert sorted(blocks["class"]) == ["iron"] * 3 + ["nickel"] * 3
    assert sorted(blocks.thickness) == [1.0, 1.0, 1.4, 1.4, 1.8, 1.8]
    assert set(np.unique(cube.parts)) == set(range(len(cube.table)))
    assert [CLASSES[k] for k in np.unique(cube.labels)] == list(CLASSES)
    # Blocks of .36 x .24 of the frame each.
    assert np.mean(cube.labels >= 2) == pytest.approx(6 * 0.36 * 0.24, abs=0.03)
    assert cube.thickness[cube.purity > 0.9999] == pytest.approx(
        cube.table.thickness.to_numpy()[cube.parts[cube.purity > 0.9999]], rel=1e-6
    )


def test_counts_are_poisson_about_beer_and_lambert():
    cube = simulate_tof(seed=1, frame_shape=(48, 48), n_bins=100, falloff=0.0)
    inside = cube.purity > 0.9999
    level = cube.open_beam.mean((1, 2))
    assert level.mean() == pytest.approx(200, rel=0.01)
    z = []
    for part in np.unique(cube.parts[inside]):
        here = inside & (cube.parts == part)
        expected = level * cube.transmission[part]
        z.append(((cube.counts[:, here] - expected[:, None]) / np.sqrt(expected)[:, None]).ravel())
    z = np.concatenate(z)
    assert z.mean() == pytest.approx(0, abs=0.02)
    assert z.var() == pytest.approx(1, abs=0.02)


def test_without_a_pulse_the_transmission_is_beer_and_lambert_at_each_wavelength():
    cube = simulate_tof(seed=0, frame_shape=(16, 16), n_bins=400, pulse_sigma=0.1, pulse_tau=0.1)
    wavelength = cube.time * NEUTRON_SPEED / cube.flight_path
    row = cube.table.index[(cube.table["class"] == "iron") & ~cube.table.treated][0]
    expected = np.exp(-IRON.attenuation(wavelength) * cube.table.thickness[row])
    far = np.min(np.abs(wavelength[:, None] - [e.wavelength for e in IRON.edges(1.3)]), axis=1) > 0.01
    assert cube.transmission[row][far] == pytest.approx(expected[far], rel=0.01)


def test_the_treated_layer_moves_the_edges_by_its_strain():
    edges = simulate_tof(seed=0, strain=2e-3, **SMALL).edges
    lengths = edges[edges.hkl == "200"].groupby("class").wavelength.agg(["min", "max"])
    assert (lengths["max"] / lengths["min"]).max() == pytest.approx(1.002, rel=1e-12)


def test_options_out_of_range_are_refused():
    with pytest.raises(OptionError, match="counts must be from"):
        TofScene(counts=-1)
    with pytest.raises(OptionError, match="did you mean 'n_bins'"):
        simulate_tof(n_bin=5)
    with pytest.raises(OptionError, match="must rise"):
        TofScene(wavelengths=(4, 2))
    with pytest.raises(OptionError, match="three"):
        TofScene(thicknesses=(1.0, 2.0))
