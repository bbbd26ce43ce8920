"""Labels in, tables and estimates out."""

from __future__ import annotations

from segmetry.measure.catalogue import MEASURES as MEASURES
from segmetry.measure.catalogue import Measure as Measure
from segmetry.measure.labelling import keep_labels as keep_labels
from segmetry.measure.labelling import label as label
from segmetry.measure.labelling import relabel as relabel
from segmetry.measure.labelling import remove_small as remove_small
from segmetry.measure.regions import Regions as Regions
from segmetry.measure.table import measure as measure
from segmetry.measure.threshold import measure_threshold as measure_threshold
from segmetry.measure.threshold import otsu_threshold as otsu_threshold
