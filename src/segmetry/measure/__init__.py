"""Labels in, tables and estimates out."""

from __future__ import annotations

from segmetry.callable_package import make_callable
from segmetry.measure.catalogue import MEASURES as MEASURES
from segmetry.measure.catalogue import Measure as Measure
from segmetry.measure.distributions import Distribution as Distribution
from segmetry.measure.distributions import distribution as distribution
from segmetry.measure.labelling import keep_labels as keep_labels
from segmetry.measure.labelling import label as label
from segmetry.measure.labelling import relabel as relabel
from segmetry.measure.labelling import remove_small as remove_small
from segmetry.measure.regions import Regions as Regions
from segmetry.measure.spatial import NearestNeighbours as NearestNeighbours
from segmetry.measure.spatial import RadialDistribution as RadialDistribution
from segmetry.measure.spatial import centres as centres
from segmetry.measure.spatial import nearest_neighbours as nearest_neighbours
from segmetry.measure.spatial import number_density as number_density
from segmetry.measure.spatial import radial_distribution as radial_distribution
from segmetry.measure.summary import summarise as summarise
from segmetry.measure.table import measure as measure
from segmetry.measure.threshold import measure_threshold as measure_threshold
from segmetry.measure.threshold import otsu_threshold as otsu_threshold
from segmetry.measure.uncertainty import ParticlesNeeded as ParticlesNeeded
from segmetry.measure.uncertainty import particles_needed as particles_needed

make_callable(__name__)
