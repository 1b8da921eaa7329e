from astromodal.errors import must_be, nearest, suggestion


def test_must_be_says_what_must_got_and_do():
    """An error names the thing, the demand, the finding and the remedy."""
    assert must_be("a.b", "an int", 1.5, "round it") == "a.b must be an int, got 1.5; round it"


def test_must_be_shows_text_as_it_is():
    """A finding that is text already is not quoted again."""
    assert must_be("a", "b", "nothing") == "a must be b, got nothing"


def test_nearest_finds_the_closest_spelling():
    """A misspelt name leads to the right one."""
    assert nearest("mag_pstotal_r", ["mag_psf_r", "ra", "dec"]) == "mag_psf_r"


def test_nearest_is_none_where_nothing_is_close():
    """No suggestion is better than a silly one."""
    assert nearest("parallax", ["ra", "id"]) is None
    assert suggestion("parallax", ["ra", "id"]) == ""
