"""The index of similar objects: its target, what redoes it, and searches in it."""

from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from astromodal.core.paths import Layout
from astromodal.evaluation.embeddings.measures import embedding_space, nearest_neighbours
from astromodal.inference import AstroModel
from helpers.console import python_blocks
from helpers.workflow import run_further, tiny

pytestmark = pytest.mark.workflow

FIELDS = ("T-1", "T-2", "T-3")


@pytest.fixture(scope="module")
def paths(used):
    return Layout(str(used.results))


def test_a_run_finds_similar_objects(paths):
    """From the run's folder and from the exported one, by sequences or by embeddings."""
    table = pq.read_table(paths.embeddings("T-3"))
    vectors, ids = np.stack(table["embedding"].to_numpy()), table["id"].to_pylist()
    model = AstroModel.from_run(paths.run)
    found = model.similar(paths.sequences("T-3"), 4)
    assert found.objects.tolist() == ids
    assert not (found.id == found.objects[:, None]).any()
    assert (np.diff(found.distance, axis=1) >= 0).all()
    for other in (model, AstroModel.from_run(paths.export)):
        assert other.similar(vectors, 4, ids=ids).id.tolist() == found.id.tolist()


def test_what_is_found_is_in_the_fields(paths):
    """Field, row and id are those of the embeddings."""
    rows = {
        (field, row): name
        for field in FIELDS
        for name, row in _columns(paths.embeddings(field), "id", "row")
    }
    found = AstroModel.from_run(paths.run).similar(paths.sequences("T-2"), 20).table()
    assert set(found["field"]) == set(FIELDS)
    keys = zip(found["field"], found["row"], strict=True)
    assert [rows[key] for key in keys] == found["id"].tolist()


def _columns(path, *names):
    return zip(*(pq.read_table(path)[name].to_pylist() for name in names), strict=True)


def test_neighbours_are_mostly_those_of_the_report(paths):
    """The report standardises by all objects, the index by those of the training split."""
    tables = [pq.read_table(paths.embeddings(field)) for field in FIELDS]
    ids = np.concatenate([table["id"].to_pylist() for table in tables])
    vectors = np.concatenate([np.stack(table["embedding"].to_numpy()) for table in tables])
    near = ids[nearest_neighbours(embedding_space(vectors, "query"), 10)]
    found = AstroModel.from_run(paths.run).similar(vectors, 10, ids=ids.tolist()).id
    shared = [len(set(a) & set(b)) for a, b in zip(near.tolist(), found.tolist(), strict=True)]
    assert np.mean(shared) > 8


@pytest.mark.parametrize(
    ("change", "planned"),
    [
        ({"n_probe": 3}, {"assemble_index": 1}),
        ({"n_lists": 1}, {"train_index": 1, "index_field": 3, "assemble_index": 1}),
    ],
)
def test_a_setting_plans_its_own_jobs(used, change, planned):
    """How a search is made changes no file of a field."""
    changed = tiny(used.folder)
    changed.config["index"] = change
    assert {name: n for name, n in changed.planned("index").items() if name != "index"} == planned


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """The finished sky, indexed, and then with other sources in a field and another field beside.

    What ran at last stands in a file.
    """

    def change(workflow):
        workflow.run("index")
        workflow.config["simulate"]["fields"] |= {"T-3": {"absent": ["desi"]}, "T-4": {}}
        ran = workflow.ran("index")
        (workflow.folder / "ran.txt").write_text("\n".join(sorted(ran)))

    return run_further(tmp_path_factory, "indexed", change)


def test_a_changed_field_and_a_new_one_redo_their_own_files(changed):
    """The space is not learned anew, and no other field is indexed again."""
    ran = (changed.folder / "ran.txt").read_text().split("\n")
    indexed = [job for job in ran if "index" in job]
    assert indexed == ["assemble_index", "index", "index_field T-3", "index_field T-4"]


def test_the_page_works_as_typed(changed):
    """The block of the page on daily work finds ten objects of each of five."""
    sequences, defined = Path(Layout(str(changed.results)).sequences("T-3")), dict[str, Any]()
    (sequences.parent / sequences.name.replace("T-3", "STRIPE82-0001")).symlink_to(sequences)
    with chdir(changed.folder):
        python_blocks("docs/usage.md", defined)
    assert defined["table"]["rank"].tolist() == [*range(1, 11)] * 5


def test_a_new_field_is_found(changed):
    """Its objects are found from their sequences, and lead to other fields."""
    paths = Layout(str(changed.results))
    found = AstroModel.from_run(paths.run).similar(paths.sequences("T-4"), 1, itself=True)
    assert set(found.field[:, 0]) == {"T-4"}
    assert found.id[:, 0].tolist() == found.objects.tolist()
