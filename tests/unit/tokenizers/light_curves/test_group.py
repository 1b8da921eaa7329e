import numpy as np
import pytest

from astromodal.core.vocab import MISSING_CODE
from astromodal.data.light_curves import LightCurveBatch
from astromodal.errors import FormatError
from astromodal.tokenizers.light_curves.group import LightCurveGroupTokenizer
from astromodal.tokenizers.quantizers.nearest import NearestCentroid

CENTROIDS = np.array([[0, np.log(10), 0], [0, np.log(10), np.log(3)]], dtype=np.float32)
TOKENIZER = LightCurveGroupTokenizer("ztf_r", NearestCentroid(CENTROIDS), np.zeros(3), np.ones(3))


def test_decoded_curves_by_hand():
    """Steps of 2 days add up from each curve's own first epoch; a missing code adds none."""
    codes = np.array([1, 1, 1, 0, MISSING_CODE, 1], dtype=np.uint16)
    found = TOKENIZER.decode(codes, np.array([0, 3, 3, 6]), np.array([18.0, 19.0, 20.0]))
    np.testing.assert_allclose(found.step, [0, 2, 2, 0, np.nan, 2], rtol=1e-6)
    np.testing.assert_allclose(found.time, [0, 2, 4, 0, 0, 2], rtol=1e-6)
    np.testing.assert_allclose(found.mag, [18, 18, 18, 20, np.nan, 20])
    np.testing.assert_allclose(found.error, [0.1, 0.1, 0.1, 0.1, np.nan, 0.1], rtol=1e-6)


def test_no_curve_decodes_to_none():
    """Nothing in, nothing out."""
    found = TOKENIZER.decode(np.empty(0, np.uint16), np.zeros(1, np.int64), np.empty(0))
    assert found.time.size == 0


def test_a_code_beyond_the_codebook_is_refused():
    """It was made by another tokenizer."""
    with pytest.raises(FormatError, match="codes of group ztf_r must be below 2, got 7"):
        TOKENIZER.decode(np.array([7], np.uint16), np.array([0, 1]), np.array([18.0]))


def test_without_a_codebook_all_is_missing():
    """A group that no training field has gets no real code."""
    empty = LightCurveGroupTokenizer(
        "ztf_r", NearestCentroid(CENTROIDS[:0]), np.zeros(3), np.ones(3)
    )
    curve = LightCurveBatch(
        np.zeros(1, np.int32), np.array([0, 1]), np.zeros(1), np.full(1, 18.0), np.full(1, 0.1)
    )
    assert empty.encode(curve, np.full(1, 18.0)).tolist() == [MISSING_CODE]
