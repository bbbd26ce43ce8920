"""The nanoparticle study: thresholds on 150 simulated micrographs of catalyst particles."""
