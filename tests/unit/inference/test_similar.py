"""The search for similar objects, compared with brute force, and `AstroModel.similar`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from astromodal.config.evaluate import IndexSettings, PredictSettings
from astromodal.data.splits import Split
from astromodal.errors import ConfigError, DataError, FormatError
from astromodal.inference import similar
from astromodal.inference.model import AstroModel
from astromodal.inference.similar import find_similar, search
from astromodal.inference.tables import embed_field
from helpers.model import cube_table, toy_bundle, write_run
from helpers.similar import clustered, index_of, write_embeddings, write_index

INTEGERS = st.integers(-3, 3)  # so that many distances are equal, and all are exact


@st.composite
def surveys(draw):
    """Objects of one to four fields, some of them empty, centroids, and points to search for."""
    width = draw(st.integers(1, 11))
    shapes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
    fields = {
        f"F{i}": (
            [f"{i}-{j}" for j in range(n)], draw(arrays(np.float32, (n, width), elements=INTEGERS))
        )
        for i, n in enumerate(shapes)
    }  # fmt: skip
    n_lists, n = draw(st.integers(1, 4)), draw(st.integers(0, 5))
    centroids = draw(arrays(np.float32, (n_lists, width), elements=INTEGERS))
    points = draw(arrays(np.float32, (n, width), elements=INTEGERS))
    return index_of(fields, np.unique(centroids, axis=0)), points


def brute_force(index, points, k):
    """Numbers and squared distances of the nearest, of equally near ones the first."""
    others = np.concatenate([own.points for own in index.fields.values()])
    squared = cdist(points, others, "sqeuclidean")
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(squared, order, axis=1)
    room = ((0, 0), (0, k - order.shape[1]))
    return np.pad(order, room, constant_values=-1), np.pad(found, room, constant_values=np.inf)


@given(survey=surveys(), k=st.integers(1, 15), threads=st.integers(1, 2))
def test_an_exact_search_is_brute_force(survey, k, threads):
    """Ties, empty fields, and more neighbours than objects included."""
    index, points = survey
    expected = brute_force(index, points, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similar, "_ROWS", 5)
        patch.setattr(similar, "_QUERIES", 2)
        found = search(index, points, k, None, threads)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@given(survey=surveys(), k=st.integers(1, 15))
def test_all_lists_hold_all_objects(survey, k):
    """A search through every list is exact."""
    index, points = survey
    expected = brute_force(index, points, k)
    np.testing.assert_array_equal(search(index, points, k, 99)[0], expected[0])


@given(survey=surveys(), k=st.integers(1, 15), n_probe=st.integers(1, 4))
def test_the_nearest_lists_are_looked_through(survey, k, n_probe):
    """What is found is what brute force finds among their objects."""
    index, points = survey
    numbers, _ = search(index, points, k, n_probe)
    lists = np.concatenate([index.space.lists(own.points) for own in index.fields.values()])
    others = np.concatenate([own.points for own in index.fields.values()])
    far = cdist(points, index.space.centroids, "sqeuclidean")
    probed = np.argsort(far, axis=1, kind="stable")[:, :n_probe]
    for point, near, own in zip(points, numbers, probed, strict=True):
        among = np.flatnonzero(np.isin(lists, own))
        order = among[np.argsort(cdist([point], others[among], "sqeuclidean")[0], kind="stable")]
        assert near[near >= 0].tolist() == order[:k].tolist()


def test_real_numbers_agree_with_brute_force():
    """Distances are those of float64 to the rounding of float32, and so are the neighbours."""
    points = clustered(3000, width=30)
    index = index_of({"A": (["a"] * 2000, points[:2000]), "B": (["b"] * 1000, points[2000:])})
    near, squared = search(index, points[:50], 10, None)
    expected = brute_force(index, points[:50], 10)
    np.testing.assert_allclose(squared, expected[1], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(near, expected[0])


@given(
    ids=st.lists(st.sampled_from("abcde"), min_size=1, max_size=14),
    k=st.integers(1, 6),
    place=st.integers(0, 13),
)
def test_the_object_itself_is_left_out(ids, k, place):
    """Whatever field its id is in, however often; the k nearest of the others are found."""
    points = np.arange(len(ids), dtype=np.float32)[:, None]
    half = len(ids) // 2
    index = index_of({"A": (ids[:half], points[:half]), "B": (ids[half:], points[half:])})
    own, at = ids[place % len(ids)], points[place % len(ids)]
    found = find_similar(index, at[None], k, None, np.array([own]))
    distance = np.abs(points[:, 0] - at)
    expected = [i for i in np.argsort(distance, kind="stable") if ids[i] != own][:k]
    n = len(expected)
    assert found.id[0, :n].tolist() == [ids[i] for i in expected]
    np.testing.assert_array_equal(found.distance[0, :n], distance[expected])
    assert found.id[0, n:].tolist() == [""] * (k - n)


def test_fields_rows_and_ids_belong_together():
    """Each found object is named by all three; the table has one line for each."""
    index = index_of({
        "A": (["x", "y"], np.float32([[0], [5]])), "B": (["z"], np.float32([[3]])),
    })  # fmt: skip
    found = find_similar(index, np.float32([[0.5], [4.5]]), 4, None)
    assert found.field.tolist() == [["A", "B", "A", ""], ["A", "B", "A", ""]]
    assert found.id.tolist() == [["x", "z", "y", ""], ["y", "z", "x", ""]]
    assert found.row.tolist() == [[0, 0, 1, -1], [1, 0, 0, -1]]
    np.testing.assert_array_equal(found.distance[0], [0.5, 2.5, 4.5, np.nan])
    table = found.table()
    assert table["rank"].tolist() == [1, 2, 3, 1, 2, 3]
    assert table["number"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table.columns.tolist() == ["object", "number", "rank", "field", "id", "row", "distance"]


def test_no_object_finds_nothing():
    """The answer is empty, not an error."""
    index = index_of({"A": (["x"], np.float32([[0]]))})
    found = find_similar(index, np.empty((0, 1)), 3, None, np.empty(0, np.str_))
    assert found.id.shape == (0, 3)
    assert len(found.table()) == len(found) == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model loaded from the folder of a run with an index of two fields, and the fields."""
    results = tmp_path_factory.mktemp("results")
    model = AstroModel.from_run(write_run(results, toy_bundle()))
    encoded, files = {}, {}
    for seed, name in enumerate("AB"):
        table = cube_table(40, seed=seed)
        ids = [f"{name}{i}" for i in range(40)]
        table = table.set_column(table.column_names.index("id"), "id", [ids])
        objects = encoded[name] = model.encode(table)
        rows = np.arange(40)
        split = Split(objects.ids, rows, (rows % 2).astype(np.uint8), rows >= 0)
        split.save(results / "split.npz")
        files[name] = results / f"{name}.parquet"
        embed_field(model, objects, results / "split.npz", 128, files[name], PredictSettings())
    return model, encoded, write_index(results, files)


def test_the_models_objects_are_searched_for(run):
    """The nearest others by the distance between standardised components, without itself."""
    model, encoded, _ = run
    index, objects = model.open_index(), encoded["B"][:5]
    found = model.similar(objects, 3)
    points = {name: index.space.project(model.embed(own)) for name, own in encoded.items()}
    names = [*encoded["A"].ids, *encoded["B"].ids]
    distance = cdist(points["B"][:5], np.concatenate([points["A"], points["B"]]))
    distance[np.arange(5), 40 + np.arange(5)] = np.inf
    order = np.argsort(distance, axis=1)[:, :3]
    assert found.objects.tolist() == objects.ids.tolist()
    assert found.id.tolist() == [[names[i] for i in row] for row in order]
    expected = np.take_along_axis(distance, order, axis=1)
    np.testing.assert_allclose(found.distance, expected, rtol=1e-3, atol=1e-3)


def test_an_object_can_find_itself(run):
    """Then it is the nearest one."""
    model, encoded, _ = run
    found = model.similar(encoded["A"], 1, itself=True)
    assert found.id[:, 0].tolist() == encoded["A"].ids.tolist()
    np.testing.assert_allclose(found.distance, 0, atol=1e-3)


def test_embeddings_can_be_given(run):
    """With their ids they are left out themselves, and found without."""
    model, encoded, _ = run
    vectors, ids = model.embed(encoded["A"]), encoded["A"].ids.tolist()
    named = model.similar(vectors, 4, ids=ids)
    assert named.id.tolist() == model.similar(encoded["A"], 4).id.tolist()
    assert model.similar(vectors, 1).id[:, 0].tolist() == ids


def test_a_search_can_be_limited_to_fields(run):
    """Then all that is found is of these."""
    model, encoded, _ = run
    assert set(model.similar(encoded["A"], 5, fields="B").field.ravel()) == {"B"}
    with pytest.raises(DataError, match="field must be one of the 2 in .*, got D"):
        model.similar(encoded["A"], fields=["D"])


def test_lists_are_used_where_an_index_is_large(run, tmp_path, monkeypatch):
    """Unless an exact search is wanted."""
    model, encoded, paths = run
    files = {name: paths.results + f"/{name}.parquet" for name in "AB"}
    write_index(tmp_path, files, IndexSettings(exact_below=80, n_probe=3))
    probed = []
    real = similar.search
    monkeypatch.setattr(similar, "search", lambda *a: probed.append(a[3]) or real(*a))
    for options in ({}, {"exact": True}, {"n_probe": 2}, {"exact": False, "fields": "A"}):
        model.similar(encoded["A"][:2], 2, tmp_path / "similar", **options)
    model.similar(encoded["A"][:2], 2, tmp_path / "similar", fields="A")
    assert probed == [3, None, 2, 3, None]


def test_a_calibrated_model_has_the_same_index(run):
    """Its embeddings are the same."""
    model, encoded, _ = run
    found = model.calibrated({"scalar": 2.0}).similar(encoded["A"][:1], 2)
    assert found.id.tolist() == model.similar(encoded["A"][:1], 2).id.tolist()


def test_an_index_of_another_model_is_refused(run):
    """Opened before, or by its path."""
    _, encoded, paths = run
    other, opened = AstroModel(toy_bundle(seed=4)), run[0].open_index()
    for index in (opened, paths.similar):
        with pytest.raises(FormatError, match=r"index\.json must be that of the model of hash"):
            other.similar(encoded["A"], index=index)


@pytest.mark.parametrize(
    ("vectors", "options", "error", "match"),
    [
        ((2, 16), {"k": 0}, ConfigError, "k must be at least 1, got 0"),
        ((2, 16), {"n_probe": 0}, ConfigError, "n_probe must be at least 1, got 0"),
        ((2, 15), {}, DataError, r"embeddings must be of shape \(n, 16\), .* got \(2, 15\)"),
        ((16,), {}, DataError, r"embeddings must be of shape \(n, 16\), .* got \(16,\)"),
        ((2, 16), {"ids": ["a"]}, DataError, r"ids must be 2, one per object, got \(1,\)"),
    ],
)
def test_impossible_searches_are_refused(run, vectors, options, error, match):
    """By what must be."""
    with pytest.raises(error, match=match):
        run[0].similar(np.zeros(vectors), **options)


def test_embeddings_that_are_not_finite_are_refused(run):
    """They have no neighbours."""
    with pytest.raises(DataError, match="embeddings must be finite, got NaN or infinity"):
        run[0].similar(np.full((1, 16), np.nan))


def test_a_model_without_an_index_says_what_to_run(bundle, encoded):
    """One error, with the target."""
    with pytest.raises(ConfigError, match="index must be an index .*; run snakemake index"):
        AstroModel(bundle).similar(encoded)


def test_an_empty_survey_of_files_is_searched(tmp_path):
    """A field without objects beside one of a single object."""
    vectors = clustered(40)
    parts = {"A": vectors, "B": vectors[:0], "C": vectors[:1]}
    files = {
        name: write_embeddings(tmp_path / f"{name}.parquet", own) for name, own in parts.items()
    }
    index = similar.SimilarityIndex.open(write_index(tmp_path, files).similarity_index)
    found = find_similar(index, vectors[:1], 2, None)
    assert found.field[0].tolist() == ["A", "C"]  # the same embedding in both
    assert found.distance[0].tolist() == [0, 0]
