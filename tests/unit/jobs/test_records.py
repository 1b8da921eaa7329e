import pytest

from astromodal.errors import ConfigError, FormatError
from astromodal.jobs.resources import Record, read_records, read_results


def cells(text):
    """The cells of a line, which are separated by a bar here."""
    return text.split("|")


HEADER = cells("s|h:m:s|max_rss|max_vms|max_uss|max_pss|io_in|io_out|mean_load|cpu_time")
EXTENDED = HEADER + cells(
    "jobid|rule_name|wildcards|params|threads|cpu_usage|resources|input_size_mb"
)
# As Snakemake 9.27 writes them; the second is that of a job too short to be sampled.
PLAIN = cells("2.62|0:00:02|72.06|76.16|61.41|63.12|0.00|0.00|25.76|0.91")
SHORT = cells("0.02|0:00:00|NA|NA|NA|NA|NA|NA|NA|NA")
WITH_SIZES = cells(
    "0.42|0:00:00|30.02|40.39|0.02|0.02|0.00|0.00|0.00|0.00|1|quick|{'f': 'a'}"
    "|{'a': {'x': [1, 't\\tab']}}|1|0|{'tmpdir': '/tmp', '_cores': 1}"
    "|{'in/a.parquet': 0.25, 'in/b.npz': 1.5}"
)


def write(path, *rows):
    """A benchmark file of the rows' cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows))
    return path


def damaged(place, cell):
    """A line whose cell of a column is another."""
    row = list(WITH_SIZES)
    row[EXTENDED.index(place)] = cell
    return row


def test_a_record_holds_time_memory_and_load(tmp_path):
    """They are read from their columns; the size of the input is not in the plain form."""
    assert read_records(write(tmp_path / "f.tsv", HEADER, PLAIN)) == [
        Record(2.62, 72.06, 25.76, None)
    ]


def test_repeats_are_records_of_their_own(tmp_path):
    """A job that Snakemake ran twice to measure it counts twice."""
    assert len(read_records(write(tmp_path / "f.tsv", HEADER, PLAIN, PLAIN))) == 2


@pytest.mark.parametrize("mark", ["NA", "-"])
def test_a_job_too_short_to_be_sampled_has_no_memory_and_load(tmp_path, mark):
    """An unmeasured value is None, not zero."""
    row = [mark if cell == "NA" else cell for cell in SHORT]
    assert read_records(write(tmp_path / "f.tsv", HEADER, row)) == [Record(0.02, None, None, None)]


def test_the_extended_form_tells_the_inputs_size(tmp_path):
    """The size of a job's input is the sum over its files."""
    path = write(tmp_path / "f.tsv", EXTENDED, WITH_SIZES)
    assert read_records(path) == [Record(0.42, 30.02, 0.0, 1.75)]


def test_a_job_without_input_has_a_size_of_zero(tmp_path):
    """An empty mapping is a size of 0; the mark of an unmeasured size is None."""
    rows = [damaged("input_size_mb", "{}"), damaged("input_size_mb", "NA")]
    found = read_records(write(tmp_path / "f.tsv", EXTENDED, *rows))
    assert [record.input_size for record in found] == [0.0, None]


def test_records_are_told_apart_by_rule(tmp_path):
    """A rule's folder holds its records, whatever its jobs' wildcards."""
    write(tmp_path / "benchmarks/encode/A.tsv", HEADER, PLAIN)
    write(tmp_path / "benchmarks/encode/B_1.tsv", EXTENDED, WITH_SIZES)
    write(tmp_path / "benchmarks/assemble/assemble.tsv", HEADER, SHORT)
    found = read_results(tmp_path)
    assert {rule: len(records) for rule, records in found.items()} == {"assemble": 1, "encode": 2}
    assert list(found) == ["assemble", "encode"]


def test_a_folder_may_have_any_name(tmp_path):
    """Brackets in a folder's name are no pattern."""
    write(tmp_path / "run [1]/benchmarks/encode/A.tsv", HEADER, PLAIN)
    assert list(read_results(f"{tmp_path}/run [1]/")) == ["encode"]


def test_no_such_folder(tmp_path):
    """A folder that is not there is named."""
    message = "results folder must be a folder that exists, got .*nowhere; name the one"
    with pytest.raises(ConfigError, match=message):
        read_results(tmp_path / "nowhere")


def test_a_folder_without_records(tmp_path):
    """The error names the place where records would be."""
    message = r"benchmarks/\{rule\}/\{job\}\.tsv must be files .*, got none; run the workflow"
    with pytest.raises(ConfigError, match=message):
        read_results(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], r"f\.tsv, line 1 must be a header with s, max_rss and mean_load, got ''; repair it"),
        ([["a", "b"]], r"f\.tsv, line 1 must be a header .* got 'a\\tb'"),
        ([HEADER], r"f\.tsv, line 2 must be a record, got the file's end"),
        ([HEADER, PLAIN, PLAIN[:4]], r"f\.tsv, line 3 must be of 10 columns, got 4"),
        ([HEADER, ["NA", *PLAIN[1:]]], r"f\.tsv, line 2: s must be a number, got NA"),
        ([EXTENDED, damaged("max_rss", "x")], "line 2: max_rss must be a number from 0, got 'x'"),
        ([EXTENDED, damaged("mean_load", "-1")], "line 2: mean_load must be a number .*'-1'"),
        ([EXTENDED, damaged("s", "nan")], "line 2: s must be a number from 0, got 'nan'"),
        ([EXTENDED, damaged("input_size_mb", "{'a'")], "input_size_mb must be sizes by file, got"),
        ([EXTENDED, damaged("input_size_mb", "[1]")], "input_size_mb must be sizes by file, got"),
        ([EXTENDED, damaged("input_size_mb", "{'a': 'b'}")], "input_size_mb must be sizes by file"),
    ],
)
def test_a_damaged_record_is_named_with_its_line(tmp_path, rows, message):
    """The error names the file, the line and the fault."""
    with pytest.raises(FormatError, match=message):
        read_records(write(tmp_path / "f.tsv", *rows))
