"""The style of figures."""

import matplotlib as mpl
import pytest

from astromodal.config.schema import SCALAR_COLUMNS
from astromodal.evaluation.report.style import (
    BLUE,
    new_figure,
    save_figure,
    styled,
    themed_svg,
    unit,
    with_unit,
)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("mag_pstotal_r", "mag"), ("err_mag_pstotal_j0378", "mag"), ("vista_japermag6", "mag"),
        ("vista_ksapermag6err", "mag"), ("a_pixel_det", "pixel"), ("theta_det", "degree"),
        ("gaia_parallax_error", "mas"), ("gaia_pmra", "mas/yr"), ("gaia_pmdec_error", "mas/yr"),
        ("gaia_phot_bp_mean_flux", "electron/s"), ("gaia_teff_gspphot", "K"),
        ("gaia_logg_gspphot", "dex"), ("specz_z", ""), ("specz_e_z", ""),
        ("my_column", "catalogue unit"),
    ],
)  # fmt: skip
def test_units(column, expected):
    """Each kind of column has its unit."""
    assert unit(column) == expected


def test_every_default_column_has_a_known_unit():
    """No default column falls through to "catalogue unit"."""
    assert [c for c in SCALAR_COLUMNS if unit(c) == "catalogue unit"] == []


def test_no_empty_brackets():
    """A quantity without a unit has no brackets."""
    assert (with_unit("z", ""), with_unit("r", "mag")) == ("z", "r (mag)")


def test_style_does_not_leak():
    """The caller's matplotlib settings come back."""
    before = mpl.rcParams["font.size"]
    with styled():
        assert mpl.rcParams["font.size"] == 9
    assert mpl.rcParams["font.size"] == before


def _line(folder, name="line"):
    with styled():
        figure, axes = new_figure()
        axes[0, 0].plot([0, 1], color=BLUE)
        axes[0, 0].set_xlabel("time (s)")
        return save_figure(figure, folder, name)


HOSTILE = {
    "font.size": 31, "font.family": "monospace", "text.usetex": True, "svg.fonttype": "none",
    "savefig.bbox": "tight", "axes.formatter.use_locale": True, "axes.xmargin": 0.3,
    "path.simplify": False, "figure.facecolor": "red", "lines.linestyle": ":",
}  # fmt: skip


def test_settings_of_the_user_change_no_figure(tmp_path):
    """A matplotlibrc of the user has no effect on a figure, wherever it is."""
    _line(tmp_path / "plain")
    with mpl.rc_context(HOSTILE):
        before = dict(mpl.rcParams)
        _line(tmp_path / "hostile")
        assert dict(mpl.rcParams) == before
    for path in sorted((tmp_path / "plain").iterdir()):
        assert (tmp_path / "hostile" / path.name).read_bytes() == path.read_bytes()


def test_figures_are_files_of_three_kinds(tmp_path):
    """PNG, PDF and SVG files are in the same folder."""
    assert _line(tmp_path) == "line.png"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["line.pdf", "line.png", "line.svg"]


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    """No date or random id is in a figure."""
    for folder in ("a", "b"):
        _line(tmp_path / folder)
    for end in ("png", "pdf", "svg"):
        assert (tmp_path / f"a/line.{end}").read_bytes() == (
            tmp_path / f"b/line.{end}"
        ).read_bytes()


def test_svg_takes_the_pages_colours(tmp_path):
    """Colours become CSS variables, and nothing refers outside of the page."""
    _line(tmp_path)
    text = themed_svg((tmp_path / "line.svg").read_text(encoding="utf-8"), "p")
    assert text.startswith("<svg")
    assert "var(--c0)" in text
    assert "var(--ink)" in text
    assert BLUE not in text


def test_svg_ids_are_unique_to_the_figure(tmp_path):
    """Every id, and every reference to one, has the figure's prefix."""
    _line(tmp_path)
    text = themed_svg((tmp_path / "line.svg").read_text(encoding="utf-8"), "p7")
    assert text.count('id="') == text.count('id="p7-') > 0
    assert text.count("url(#") == text.count("url(#p7-") > 0
    assert text.count('href="#') == text.count('href="#p7-') > 0


@pytest.mark.parametrize("values", [[3.0], [2.0, 3.0], [0.5, 900.0]])
def test_a_logarithmic_axis_spans_more_than_a_decade(tmp_path, values):
    """On a shorter axis, labels of all digits would overlap."""
    with styled():
        figure, axes = new_figure()
        axes[0, 0].plot(values, values, "o")
        axes[0, 0].set(xscale="log", yscale="log")
        save_figure(figure, tmp_path, "logs")
    for low, high in (axes[0, 0].get_xlim(), axes[0, 0].get_ylim()):
        assert high / low > 10
        assert low < min(values) <= max(values) < high
    labels = [label for label in axes[0, 0].xaxis.get_ticklabels(minor=True) if label.get_text()]
    assert not labels
