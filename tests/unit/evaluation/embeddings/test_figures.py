"""Categories and tables of the section's figures."""

import numpy as np

from astromodal.evaluation.embeddings.figures import OTHERS, UNKNOWN, agreement_table, categories
from astromodal.evaluation.embeddings.measures import AgreementNumbers
from astromodal.evaluation.report.section import Measurement


def test_categories_by_hand():
    """The five most common names stay; the others become OTHERS, empty ones UNKNOWN."""
    names = np.array([*"aabbccddeef", ""])
    assert categories(names).tolist() == [*"aabbccddee", OTHERS, UNKNOWN]


def test_a_row_of_the_table_has_its_number_of_objects():
    """Quantity and choice of objects come first, then how many were compared."""
    near, random, difference = (Measurement(v, 1.0, 30) for v in (80.0, 50.0, 30.0))
    numbers = AgreementNumbers("same class (%), all", "all objects", near, random, difference)
    table = agreement_table([numbers])
    assert table.columns[2] == "objects"
    assert list(table.rows[0][:3]) == ["same class (%), all", "all objects", 30]
