"""Cubic metals in a neutron beam: where their Bragg edges lie, and how strongly they attenuate."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

NEUTRON_SPEED = 3956.0340
"""Speed of a neutron times its wavelength, h / m, in Å m/s (CODATA 2018)."""

_THERMAL = 1.798
"""Wavelength (Å) that absorption cross sections are tabulated at: 2200 m/s."""
_ENERGY = 81.8042
"""Energy of a neutron times its wavelength squared, meV Å²."""


class Edge(NamedTuple):
    """A Bragg edge: Miller indices, spacing of the planes (Å), their multiplicity."""

    hkl: str
    spacing: float
    multiplicity: int

    @property
    def wavelength(self) -> float:
        """Longest wavelength (Å) that the planes can reflect: twice their spacing."""
        return 2 * self.spacing


@dataclass(frozen=True)
class Crystal:
    """A metal of one element whose cell is cubic; its grains lie in all directions alike (no texture).

    Parameters
    ----------
    name : str
    lattice : {"bcc", "fcc"}
    parameter : float
        Edge of the cell, Å.
    scattering_length : float
        Bound coherent scattering length, fm.
    incoherent, absorption : float
        Bound incoherent cross section, and absorption cross section at 2200 m/s, barn per atom.
    debye_waller : float
        B = 8 π² ⟨u²⟩ at room temperature, Å².
    mass : float
        In neutron masses, about the mass number.
    """

    name: str
    lattice: str
    parameter: float
    scattering_length: float
    incoherent: float
    absorption: float
    debye_waller: float
    mass: float

    @property
    def atoms(self) -> int:
        """Atoms in the cell."""
        return {"bcc": 2, "fcc": 4}[self.lattice]

    def edges(self, shortest: float) -> list[Edge]:
        """Return every Bragg edge at a wavelength of at least `shortest` (Å), the longest first.

        Notes
        -----
        Reflections of bcc have an even h + k + l, those of fcc have indices all even or all odd. Families of the same
        spacing, such as 333 and 511, are one edge.

        Examples
        --------
        >>> [(e.hkl, round(e.wavelength, 3), e.multiplicity) for e in IRON.edges(2.0)]
        [('110', 4.054, 12), ('200', 2.866, 6), ('211', 2.34, 24), ('220', 2.027, 12)]
        """
        largest = int((2 * self.parameter / shortest) ** 2 + 1e-9)
        reach = math.isqrt(largest)
        families: dict[int, list[tuple[int, ...]]] = {}
        for hkl in itertools.product(range(-reach, reach + 1), repeat=3):
            square = sum(i * i for i in hkl)
            allowed = sum(hkl) % 2 == 0 if self.lattice == "bcc" else len({i % 2 for i in hkl}) == 1
            if allowed and 0 < square <= largest:
                families.setdefault(square, []).append(hkl)
        return [
            Edge("".join(map(str, max(family))), self.parameter / math.sqrt(square), len(family))
            for square, family in sorted(families.items())
        ]

    def cross_section(self, wavelength: np.ndarray, *, strain: float = 0.0) -> np.ndarray:
        """Return the total cross section per atom.

        Parameters
        ----------
        wavelength : array of float
            Å.
        strain : float
            Relative change of the cell's edge.

        Returns
        -------
        sigma : array of float
            barn.

        Notes
        -----
        Bragg scattering λ² n b² / (2 V) Σ m d exp(-B / 2d²) over all planes with 2d > λ (n atoms in a cell of volume
        V), incoherent elastic scattering averaged over all directions, absorption in proportion to λ, and the part of
        the thermal diffuse scattering that creates several phonons. The part of one phonon, which is below a barn
        in cold beams, is left out (at 0.8 Å a fifth of the
        scattering of aluminium is missing by it), and so is the effect of texture and of extinction.

        References
        ----------
        Fermi, Sturm & Sachs, Phys. Rev. 71, 589 (1947), doi:10.1103/PhysRev.71.589; Freund, Nucl. Instrum. Methods
        213, 495 (1983), doi:10.1016/0167-5087(83)90447-7.
        """
        wavelength = np.asarray(wavelength, np.float64)
        stretched = 1 + strain
        volume = (self.parameter * stretched) ** 3
        bound = self.scattering_length**2 / 100  # fm² in barn
        planes = np.zeros_like(wavelength)
        for edge in self.edges(float(wavelength.min()) / stretched):
            d = edge.spacing * stretched
            term = edge.multiplicity * d * math.exp(-self.debye_waller / (2 * d * d))
            planes += np.where(wavelength < 2 * d, term, 0.0)
        bragg = wavelength**2 * self.atoms * bound / (2 * volume) * planes
        damping = 2 * self.debye_waller / wavelength**2
        elastic = self.incoherent * -np.expm1(-damping) / damping
        free = (4 * math.pi * bound + self.incoherent) * (self.mass / (self.mass + 1)) ** 2
        energy = _ENERGY / wavelength**2 / 1000  # eV
        phonons = free * -np.expm1(-self.debye_waller * 4.27 * math.exp(self.mass / 61) * energy)
        return bragg + elastic + phonons + self.absorption * wavelength / _THERMAL

    def attenuation(self, wavelength: np.ndarray, *, strain: float = 0.0) -> np.ndarray:
        """Return the attenuation coefficient in 1/cm at wavelengths in Å; `strain` as for `cross_section`."""
        density = self.atoms / (self.parameter * (1 + strain)) ** 3  # atoms per Å³; times barn is 1/cm
        return density * self.cross_section(wavelength, strain=strain)


IRON = Crystal("iron", "bcc", 2.8665, 9.45, 0.40, 2.56, 0.35, 55.4)
NICKEL = Crystal("nickel", "fcc", 3.5238, 10.3, 5.2, 4.49, 0.36, 58.2)
ALUMINIUM = Crystal("aluminium", "fcc", 4.0495, 3.449, 0.0082, 0.231, 0.86, 26.7)
"""Lengths and cross sections: Sears, Neutron News 3, 26 (1992), doi:10.1080/10448639208218770; B from Debye
temperatures of 464, 440 and 410 K."""


def open_spectrum(wavelength: np.ndarray, temperature: float) -> np.ndarray:
    """Return the flux per wavelength of a Maxwellian beam, up to a factor.

    Parameters
    ----------
    wavelength : array of float
        Å.
    temperature : float
        Of the moderated neutrons, K.

    Examples
    --------
    >>> grid = np.linspace(0.5, 6, 5501)
    >>> round(float(grid[open_spectrum(grid, 60).argmax()]), 2)  # (2/5 h² / 2mkT)^(1/2)
    2.52
    """
    square = _ENERGY / (0.08617333 * temperature)
    wavelength = np.asarray(wavelength, np.float64)
    return np.exp(-square / wavelength**2) / wavelength**5 * square**2
