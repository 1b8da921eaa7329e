"""Small simulated light curves for tests: columns of a cube, fitted tokenizers."""

from __future__ import annotations

import numpy as np

from astromodal.config.schema import SpectrumSettings
from astromodal.data.cube import Cube
from astromodal.simulate.light_curves import Exposures, expose, measure, periodic
from astromodal.tokenizers.spectra.codebook import sample_features, train_codebook
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer

SETTINGS = SpectrumSettings(
    groups=("desi_r", "ztf_g", "ztf_r"),
    codebook_size=512,
    max_spec_tokens_per_group=64,
    max_epochs=50,
    iterations=3,
)


def exposures(seed: int = 0, most: int = 200) -> Exposures:
    """Exposures of a simulated field, the first `most` of them."""
    found = expose(150.0, np.random.default_rng(seed))
    return Exposures(found.time[:most], found.band[:most], found.limit[:most])


def curve_columns(n: int = 40, seed: int = 0, most: int = 200) -> dict[str, list]:
    """ZTF's columns of `n` rows, a third of the stars periodic; every fifth row has no curve."""
    rng = np.random.default_rng(seed)
    taken = exposures(seed, most)
    varied = periodic(n, taken, rng) * (np.arange(n) % 3 == 0)[:, None]
    mean = rng.uniform(15.0, 20.6, (n, 1)) + np.array([0.4, 0.0, -0.2])
    columns: dict[str, list] = {}
    for band, flat in measure(mean, varied, taken, rng).items():
        ends = np.cumsum(flat.pop("length"))[:-1]
        for part, values in flat.items():
            lists = np.split(values, ends)
            columns[f"ztf_{part}_{band}"] = [
                None if i % 5 == 4 else values for i, values in enumerate(lists)
            ]
    return columns


def reordered(columns: dict[str, list], order: list[int]) -> dict[str, list]:
    """The rows of `columns` in another order."""
    return {name: [values[i] for i in order] for name, values in columns.items()}


def tokenizer_of(
    cube: Cube, settings: SpectrumSettings = SETTINGS, n_bins: int = 1024
) -> SpectrumTokenizer:
    """A tokenizer fitted on every row of a cube."""
    samples = sample_features(cube, settings, np.ones(cube.n_rows, bool), seed=0)
    codebooks = [train_codebook(samples[group], group, settings) for group in settings.groups]
    return SpectrumTokenizer.assemble(codebooks, settings, n_bins)
