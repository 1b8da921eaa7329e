"""What a part hands to the report."""

import json

import numpy as np

from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import new_figure, styled


def test_plain_values_are_json():
    """Numpy's numbers and arrays become Python's, and what is not finite becomes null."""
    value = {
        "a": np.float32(0.5),
        "b": np.array([1.0, np.nan]),
        3: (np.int64(2), np.inf),
        "t": np.bool_(True),
    }
    assert (
        json.dumps(plain(value), allow_nan=False)
        == '{"a": 0.5, "b": [1.0, null], "3": [2, null], "t": true}'
    )


def test_part_without_figures_makes_its_folder(tmp_path):
    """The folder that the workflow expects exists even if nothing could be drawn."""
    Section("x", "X", tmp_path / "figures").as_dict()
    assert (tmp_path / "figures").is_dir()


def test_part_lists_its_figures(tmp_path, real_figures):
    """A figure is listed with its file, caption, what to see, and its numbers."""
    section = Section("x", "X", tmp_path)
    with styled():
        section.add_figure(
            new_figure()[0], "f", "caption", "see", {"columns": ["a"], "rows": [[np.nan]]}
        )
    assert section.as_dict()["figures"] == [
        {
            "file": "f.png",
            "caption": "caption",
            "see": "see",
            "table": {"columns": ["a"], "rows": [[None]]},
        }
    ]


def test_headlines_keep_their_error(tmp_path):
    """A headline is a value with an error, a unit and a verdict."""
    section = Section("x", "X", tmp_path)
    section.add_headline("R²", 0.9, 0.1, unit="mag", verdict="good")
    assert section.as_dict()["headlines"][0] == {
        "label": "R²", "value": 0.9, "error": 0.1, "unit": "mag", "note": "", "verdict": "good",
    }  # fmt: skip
