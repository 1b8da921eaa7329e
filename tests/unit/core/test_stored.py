"""What plans ask about stored files, and where jobs keep what no rule declares."""

from pathlib import Path

import pytest

from astromodal.config import load_config
from astromodal.config.inputs import is_address
from astromodal.core.fields import check_frozen, notices, run_fields
from astromodal.core.stored import (
    VARIABLE,
    Files,
    check_stored,
    hand_down_copies,
    kept_folder,
)
from astromodal.errors import ConfigError

TEMPLATE = "s3://sky/cubes/datacube_{field}.parquet"
NAMES = {f"s3://sky/cubes/{name}": 5.0 for name in ("datacube_B.parquet", "datacube_A.parquet")}
OTHERS = dict.fromkeys(("s3://sky/cubes/x.txt", "s3://sky/cubes/old/datacube_C.parquet"), 5.0)


class Stored:
    """An object of a storage plugin, which finds files as that of S3 does, or as `fs`."""

    def __init__(self, query, times, inventories):
        self.query, self.times, self.inventories = query, times, inventories

    def local_path(self):
        return Path(".snakemake/storage/s3", self.query.removeprefix("s3://"))

    async def inventory(self, cache):
        cache.exists_in_storage[f"{self.query} itself"] = False
        folder = self.query.rpartition("/")[0]
        for name in filter(lambda each: self.inventories and each.startswith(folder), self.times):
            cache.exists_in_storage[str(Stored(name, {}, True).local_path())] = True
            cache.mtime[name] = cache.size[name] = 0

    def list_candidate_matches(self):
        assert not self.inventories, "the plugin of S3 ends with an error after 10 s"
        return (Path(name) if "//" not in name else name for name in self.times)

    def exists(self):
        return any(name == self.query or name.startswith(f"{self.query}/") for name in self.times)

    def mtime(self):
        return self.times[self.query]


def files(times, inventories=True):
    """Stored files of these times, where their path is an address."""
    return Files(lambda path: Stored(path, times, inventories) if is_address(path) else None)


@pytest.mark.parametrize("inventories", [True, False], ids=["as S3", "as fs"])
def test_stored_cubes_are_discovered(inventories):
    """By name, in whichever way the plugin lists files; those in further folders are none."""
    config = load_config({"paths": {"datacube_template": TEMPLATE}})
    assert config.paths.datacube_template == TEMPLATE
    assert run_fields(config, files=files(NAMES | OTHERS, inventories)).every == ("A", "B")


def test_stored_cubes_of_other_names_are_refused():
    """As those on a disk: no name of an object store reaches a shell."""
    config = load_config({"paths": {"datacube_template": TEMPLATE}})
    with pytest.raises(ConfigError, match=r"must be a name of letters, digits.*got '\$\(x\)'"):
        run_fields(config, files=files({"s3://sky/cubes/datacube_$(x).parquet": 1.0}))


def test_an_address_without_cubes_is_an_error():
    """With what to check, since a plugin may not tell a missing bucket from an empty one."""
    config = load_config({"paths": {"datacube_template": TEMPLATE}})
    with pytest.raises(ConfigError, match="the address of some cube, got s3://sky.*credentials"):
        run_fields(config, files=files({}))


def stored_results(times):
    """Files among the results, which are stored."""
    return Files(lambda path: Stored(path, times, True) if path.startswith("results") else None)


def test_fields_that_stored_tokenizers_were_fitted_on_train_again():
    """A new field does not become a training field, whatever disk the tokenizers are on."""
    sky = {"fields": {"A": {}, "B": {}, "C": {}}}
    config = load_config({"simulate": sky})
    times = dict.fromkeys(
        [
            "results/scalar_tokenizers/scalar_tokenizer_config.npz",
            "results/summaries/datacube_A_quantiles.npz",
            "results/summaries/datacube_C_quantiles.npz",
        ],
        1.0,
    )
    assert run_fields(config, files=stored_results(times)).tokenizers == ("A", "C")
    assert run_fields(config, files=stored_results({})).tokenizers == ("A", "B", "C")


def test_frozen_parts_may_be_stored():
    """They are looked for in the store, and their date is that of the newest."""
    config = load_config({"simulate": {"fields": {"A": {}}}, "freeze": ["tokenizers"]})
    made = [
        "results/scalar_tokenizers/scalar_tokenizer_config.npz",
        "results/spectrum_tokenizers/spectrum_tokenizer_config.npz",
        "results/codecs/autoencoder_splus_cuts.pt",
        "results/codecs/codebook_kmeans_2048.npz",
    ]
    times = {name: 86400.0 * 365 * n for n, name in enumerate(made, 1)}
    check_frozen(config, stored_results(times))
    (line,) = notices(config, run_fields(config), stored_results(times))
    assert "tokenizers frozen: kept as made on 197" in line
    with pytest.raises(ConfigError, match=r"freeze: tokenizers must be made before it is frozen"):
        check_frozen(config, stored_results({}))


def test_files_here_have_times(tmp_path):
    """And folders and missing files have none."""
    (tmp_path / "a").write_text("")
    assert Files().time(str(tmp_path / "a")) == (tmp_path / "a").stat().st_mtime
    assert Files().time(str(tmp_path / "b")) is None
    assert Files().time(str(tmp_path)) is None


RAW = {"splus": {"kind": "catalogue", "files": "raw/*.csv", "preset": "splus_dr4"}}


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"on_bad_field": "skip"}, "on_bad_field must be stop where results are on an object"),
        ({"sources": RAW}, "sources must be empty where results are on an object store, got spl"),
    ],
)
def test_what_needs_results_here_is_refused(settings, error):
    """Notes of skipped fields and indices of raw files are read from disk."""
    check_stored(load_config({}))
    with pytest.raises(ConfigError, match=error):
        check_stored(load_config(settings))


def test_checkpoints_of_stored_results_are_in_the_working_folder():
    """Another node has other local copies, and the same working folder."""
    environment: dict[str, str] = {}
    hand_down_copies("/scratch/s3/bucket", environment)
    output = "/scratch/s3/bucket/results/runs/final_model.pt"
    assert kept_folder(output, environment) == Path("results/runs")
    assert kept_folder("results/runs/final_model.pt", environment) == Path("results/runs")


def test_checkpoints_of_results_here_are_beside_the_model():
    """As they are without any store."""
    environment = {VARIABLE: "/from/a/run/around"}
    hand_down_copies("", environment)
    assert kept_folder("/a/runs/final_model.pt", environment) == Path("/a/runs")
    assert kept_folder("runs/final_model.pt", {}) == Path("runs")
