"""Settings files are read with errors for repeated keys, which YAML would drop."""

import re

import pytest

from astromodal.config import load_config
from astromodal.config.files import check_given_once, read_settings, spelling
from astromodal.errors import ConfigError


@pytest.fixture
def write(tmp_path):
    def write(text, name="my.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "name", "lines"),
    [
        ("training: {epochs: 0}\nsplit: {}\ntraining: {}\n", "training", "1 and 3"),
        ("training:\n  epochs: x\n  seed: 1\n  epochs: 2\n", "training.epochs", "2 and 4"),
        ("simulate:\n  fields:\n    A: {}\n    A: {}\n", "simulate.fields.A", "3 and 4"),
        ("training: {epochs: 3}\ntraining.epochs: 5\n", "training.epochs", "1 and 2"),
        ("training.epochs: 3\ntraining.epochs: 5\n", "training.epochs", "1 and 2"),
        ("a: &x {b: 1, b: 2}\nc: *x\n", "a.b", "1 and 1"),
    ],
)
def test_a_key_that_stands_twice_is_refused(write, text, name, lines):
    """A repeated key is an error that names both lines."""
    path = write(text)
    said = f"{name} must be given once in {path}, got lines {lines}; join the two"
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
        load_config(path)


def test_every_key_that_stands_twice_is_named(write):
    """Every repeated key has one line, without keys below a repeated group."""
    path = write("split: {seed: 1}\nsplit: {seed: 1}\nmodel: {d_ff: 1, d_ff: 1}\n")
    with pytest.raises(ConfigError) as caught:
        check_given_once([path])
    names = [line.split(" must")[0] for line in str(caught.value).splitlines()]
    assert names == ["split", "model.d_ff"]


def test_what_is_merged_may_be_given_again(write):
    """Keys merged by ``<<`` may be given again."""
    text = "simulate:\n  fields:\n    A: &a {n_sources: 3, dec: 1}\n    B: {<<: *a, dec: 2}\n"
    fields = load_config(write(text)).simulate.fields
    assert (fields["B"].n_sources, fields["B"].dec) == (3, 2)


def test_groups_by_dotted_and_by_nested_names_are_joined(write):
    """Groups by dotted and nested names are merged at any depth."""
    text = "training.meaningful_loss: {lambda_image: 2}\n"
    text += "training: {meaningful_loss: {lambda_scalar: 3}, epochs: 7}\n"
    training = load_config(write(text)).training
    loss = training.meaningful_loss
    assert (loss.lambda_image, loss.lambda_scalar, training.epochs) == (2, 3, 7)


def test_json_is_read(write):
    """JSON is read, with tabs and escapes that YAML does not allow."""
    text = '{\n\t"training": {"epochs": 3},\n\t"columns": {"id": "\\ud83d\\ude00"}}'
    assert load_config(write(text, "my.json")).columns.id == "😀"


def test_a_key_that_stands_twice_in_json_is_refused(write):
    """A repeated key in JSON is an error with its line, also with tabs."""
    path = write('{\n\t"training": {"epochs": 3},\n\t"training": {}}', "my.json")
    with pytest.raises(ConfigError, match="training must be given once in .* lines 2 and 3"):
        load_config(path)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "null"])
def test_a_file_of_nothing_is_no_settings(write, text):
    """A file without settings is read as an empty mapping."""
    assert read_settings(write(text)) == {}


def test_what_is_no_utf8_is_refused(tmp_path):
    """A file in another encoding is named."""
    (tmp_path / "my.yaml").write_bytes(b"fields: [\xe9]\n")
    with pytest.raises(ConfigError, match=r"my.yaml must be UTF-8 text, got"):
        load_config(tmp_path / "my.yaml")


def test_what_cannot_be_read_twice_is_left_alone(tmp_path):
    """Pipes and folders are not checked."""
    check_given_once([tmp_path, tmp_path / "none.yaml"])


@pytest.mark.parametrize(
    ("where", "value", "text"),
    [
        (("fields", "0"), 1, "0001 (line 1"),
        (("simulate", "fields", "8", "[key]"), 8, "0010 (line 2"),
        (("columns", "id"), True, "on (line 3"),
        (("training", "fields", "0"), 750, "12:30 (line 4"),
        (("fields", "0"), 2, None),
        (("fields", "7"), 1, None),
        (("split", "seed"), 1, None),
    ],
)
def test_how_a_value_is_spelt(write, where, value, text):
    """The spelling of a value is that of the file that has it."""
    first = write("fields: [0001]\nsimulate: {fields: {0010: {}}}\ncolumns.id: on\n")
    second = write("\n\n\ntraining: {fields: 12:30}\n", "second.yaml")
    found = spelling([first, second], where, value)
    assert (found is None) == (text is None)
    assert str(found).startswith(str(text))
