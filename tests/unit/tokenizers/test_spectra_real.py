"""The real spectra: DESI fibres and Gaia XP, in exactly the form of users' cubes."""

import numpy as np
import pytest

from astromodal.config.schema import SpectrumSettings
from astromodal.data.cube import Cube
from astromodal.data.spectra import count_spectra, read_spectra
from astromodal.evaluation.metrics import r2, reduced_chi2
from astromodal.tokenizers.spectra.codebook import (
    SpectrumSamples,
    sample_features,
    train_codebook,
)
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import encode_field_spectra

# Half of the survey's codes for eight spectra an arm: with fewer, those of artificial lines leave
# too few for continua.
SETTINGS = SpectrumSettings(codebook_size=1024, iterations=10)
NAMES = ("STRIPE82-REAL", "GAIAXP-REAL", "HYDRA-REAL")


@pytest.fixture(scope="module")
def cubes(real_cubes):
    return {name: Cube(real_cubes / f"datacube_{name}.parquet", name) for name in NAMES}


@pytest.fixture(scope="module")
def tokenizer(cubes):
    parts = [sample_features(c, SETTINGS, np.ones(c.n_rows, bool), 0) for c in cubes.values()]
    samples = SpectrumSamples.merge(parts)
    books = [train_codebook(samples[g], g, SETTINGS) for g in SETTINGS.groups]
    return SpectrumTokenizer.assemble(books, SETTINGS, 1024)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("STRIPE82-REAL", {"desi_b": (12, 8), "desi_r": (12, 8), "desi_z": (12, 8)}),
        ("GAIAXP-REAL", {"gaiaxp_bp": (6, 6), "gaiaxp_rp": (7, 7)}),
        ("HYDRA-REAL", {}),
    ],
)
def test_counts_are_right(cubes, name, expected):
    """12 fibres of which 4 are dead; 7 XP spectra of which one has no BP; no spectrum columns."""
    counts = count_spectra(cubes[name], SETTINGS.groups)
    found = {g: tuple(c.values()) for g, c in counts.items() if c["n_spectra"]}
    assert found == expected


def test_blocks_are_there_for_live_spectra_only(cubes, tokenizer):
    """The four dead fibres stand in the file with an absent block each."""
    tokens = encode_field_spectra(cubes["STRIPE82-REAL"], tokenizer)
    assert len(tokens.ids) == 12
    lengths = np.diff(tokens.groups["desi_b"].indptr)
    assert sorted(lengths.tolist()) == [0] * 4 + [471] * 8


@pytest.mark.parametrize("group", SETTINGS.groups)
def test_decoded_spectra_follow_the_observed(cubes, tokenizer, group):
    """R², as the report has it, above 0.98 for each real spectrum with median S/N above 3."""
    cube = cubes["STRIPE82-REAL" if group.startswith("desi") else "GAIAXP-REAL"]
    for batch in read_spectra(cube, group):
        live = batch.take(batch.live())
        flux, ivar = tokenizer.spectrum(group).observed(live)
        decoded, _ = tokenizer.decode(group, *tokenizer.encode(group, live.flux, live.ivar))
        found = r2(flux, decoded, ivar)
        for own, good, value in zip(flux * np.sqrt(ivar), ivar > 0, found, strict=True):
            assert value > 0.98 or np.median(own[good]) <= 3


@pytest.mark.parametrize("group", ["desi_b", "desi_r", "desi_z"])
def test_codes_lose_less_than_the_noise(cubes, tokenizer, group):
    """Codes lose less than the noise of each real spectrum, lines included; noise is near."""
    for batch in read_spectra(cubes["STRIPE82-REAL"], group):
        live = batch.take(batch.live())
        flux, ivar = tokenizer.spectrum(group).observed(live)
        decoded, precision = tokenizer.decode(group, *tokenizer.encode(group, live.flux, live.ivar))
        assert reduced_chi2(flux, decoded, ivar).max() < 1
        good = ivar > 0
        assert np.median(np.abs(np.log(precision[good] / ivar[good]))) < 0.4


@pytest.mark.parametrize("group", ["gaiaxp_bp", "gaiaxp_rp"])
def test_decoded_xp_spectra_are_right_within_their_noise(cubes, group):
    """With 2048 codes, the reduced χ² of each real XP spectrum is below 1.5, up to S/N 2,600."""
    settings, cube = SpectrumSettings(groups=(group,)), cubes["GAIAXP-REAL"]
    samples = sample_features(cube, settings, np.ones(cube.n_rows, bool), 0)
    book = train_codebook(samples[group], group, settings)
    tokenizer = SpectrumTokenizer.assemble([book], settings, 1024)
    for batch in read_spectra(cube, group):
        flux, ivar = tokenizer.spectrum(group).observed(batch)
        decoded, _ = tokenizer.decode(group, *tokenizer.encode(group, batch.flux, batch.ivar))
        assert reduced_chi2(flux, decoded, ivar).max() < 1.5
