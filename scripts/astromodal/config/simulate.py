"""Settings of the simulated sky."""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, Field

from astromodal.config.base import FieldName, Fraction, Once, Positive, Settings, by_name

Band = Literal["U", "F378", "F395", "F410", "F430", "G", "F515", "R", "F660", "I", "F861", "Z"]
BANDS: Final[tuple[Band, ...]] = get_args(Band)
"""The bands of S-PLUS, which simulated cutouts have."""
Survey = Literal["images", "gaia", "gaiaxp", "desi", "vista", "specz", "ztf"]


class SimulatedField(Settings):
    """One simulated field; what is null is taken from the sky's own settings."""

    n_sources: Positive | None = Field(None, description="Number of rows of this field.")
    ra: Annotated[float, Field(ge=-360, le=360)] | None = Field(
        None, description="Right ascension of the centre (degree)."
    )
    dec: Annotated[float, Field(ge=-90, le=90)] | None = Field(
        None, description="Declination of the centre (degree)."
    )
    seeing: Annotated[float, Field(ge=0.8, le=10)] | None = Field(
        None, description="PSF FWHM in the r band (arcsec), that pixels of 0.55 arcsec sample."
    )
    absent: Annotated[tuple[Survey, ...], *Once] = Field(
        (), description="Surveys that matched nothing here: the cube has no such columns."
    )
    absent_bands: Annotated[tuple[Band, ...], *Once] = Field(
        (), description="Bands whose cutouts are all null."
    )


class SimulateSettings(Settings):
    """The simulated sky, used where paths.datacube_template is null."""

    seed: int = Field(20260101, description="Seed of the sky: same seed, same bytes.")
    n_sources: Positive = Field(400, description="Rows a field.")
    cutout_fraction: Fraction = Field(
        0.69, description="Fraction of sources with image cutouts (drawn among Gaia matches)."
    )
    xp_fraction: Fraction = Field(0.05, description="Fraction of sources with Gaia XP spectra.")
    desi_fraction: Fraction = Field(0.08, description="Fraction of sources with DESI spectra.")
    specz_fraction: Fraction = Field(0.08, description="Fraction with a spectroscopic redshift.")
    light_curve_fraction: Fraction = Field(
        0.0,
        description="Fraction of sources with ZTF light curves, whatever their declination; "
        "0: the cubes have no such columns.",
    )
    fields: Annotated[dict[FieldName, SimulatedField], AfterValidator(by_name)] = Field(
        {f"SIM-{i:04d}": SimulatedField() for i in range(1, 5)},
        description="The simulated fields, by name.",
    )
