"""Files of our own that were damaged, or made by somebody who means harm."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from astromodal.config.load import load_config
from astromodal.core.paths import ExportLayout, Layout
from astromodal.data.splits import load_split
from astromodal.errors import ConfigError, FormatError
from astromodal.inference.bundle import load_bundle
from astromodal.inference.export import export_model
from astromodal.inference.index_files import FieldVectors, SimilarityIndex
from astromodal.inference.index_space import IndexSpace
from astromodal.inference.model import AstroModel
from astromodal.sequences.store import SequenceStore
from astromodal.storage.arrays import load_arrays, map_tensors, save_arrays, save_tensors
from astromodal.storage.hashing import hash_arrays, hash_values
from astromodal.storage.json_files import read_json, write_json
from astromodal.tokenizers.images.autoencoder import TrainedAutoencoder
from astromodal.tokenizers.images.shards import CutoutShard
from astromodal.tokenizers.images.tokens import load_image_latents, load_image_tokens
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer, load_scalar_tokens
from astromodal.tokenizers.spectra.tokenizer import SpectrumTokenizer
from astromodal.tokenizers.spectra.tokens import load_spectrum_tokens
from astromodal.training.checkpoint import load_model, save_model
from astromodal.training.history import history_line, read_history
from faults.fuzz import Damage, cuts, examples, flips, holes, strangers
from helpers.cutouts import image_tokenizer
from helpers.model import cube_table, toy_bundle, write_results
from helpers.similar import clustered, write_embeddings, write_index

PLAIN = {"format": "split", "version": 1}


def content(value: Any) -> str:
    """A hash of what a reader gave, for anything that is compared by its numbers and text."""
    if isinstance(value, Mapping):
        return hash_values({str(key): content(value[key]) for key in value})
    if isinstance(value, list | tuple):
        return hash_values([content(each) for each in value])
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return hash_arrays({"": value})
    if hasattr(value, "hash"):
        return value.hash
    return content(vars(value)) if hasattr(value, "__dict__") else hash_values(value)


def sequences(path: Path) -> Any:
    """The arrays of a sequence file, compared with its hash."""
    store = SequenceStore.open(path)
    store.verify()
    return {name: value for name, value in vars(store).items() if name not in ("path", "meta")}


def vectors(path: Path) -> Any:
    """The arrays of a field in an index, compared with its hash."""
    own = FieldVectors.open(path, IndexSpace.load(path.with_name("space.safetensors")))
    own.verify()
    return {name: value for name, value in vars(own).items() if name not in ("path", "meta")}


def index_of(path: Path) -> Any:
    """The numbers of objects of each field."""
    return {name: len(own) for name, own in SimilarityIndex.open(path).fields.items()}


def entries(path: Path) -> dict[str, Any]:
    """What a reader finds that asks for keys by name."""
    found = read_json(path)
    return {key: found.get(key) for key in VALUES}


def exported_model(path: Path) -> Any:
    """The model of an exported folder."""
    return load_bundle(path.parent).trained


VALUES = {"a": [1, 2.5, None, "é"], "b": {"c": True}}


@dataclass(frozen=True)
class Artefact:
    """A file of the workflow, how it is read, and the rule that makes it again."""

    path: Path
    read: Callable[[Path], Any]
    rule: str


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory, good) -> dict[str, Artefact]:
    """One of each format, by name."""
    bundle, folder = toy_bundle(), tmp_path_factory.mktemp("results")
    encoded = AstroModel(bundle).encode(cube_table())
    sources = write_results(folder, bundle, encoded)
    export_model(sources, folder / "model")
    made, run, exported = good.path.parent, Layout(str(folder), 32), ExportLayout(folder / "model")
    write_json(folder / "summary.json", VALUES)
    latents = made / "latents.npz"
    image = image_tokenizer()
    save_arrays(
        latents,
        {"ids": np.array(["a"]), "row": np.zeros(1, np.int32), "latents": np.ones((1, 2, 8, 8))},
        format="image_latents", version=1, tokenizer_hash=image.hash, input_hash="x",
    )  # fmt: skip
    embeddings = {"A": write_embeddings(folder / "e.parquet", clustered(80))}
    index = write_index(folder, embeddings)
    shard = partial(CutoutShard.open, sources=made / "pixels.npz")
    listed: list[tuple[str, str | Path, Callable[[Path], Any], str]] = [
        ("split", made / "split.npz", load_split, "split_field"),
        ("scalar tokens", made / "scalar_tokens.npz", load_scalar_tokens, "encode_scalars"),
        ("spectrum tokens", made / "spectrum_tokens.npz", load_spectrum_tokens, "encode_spectra"),
        ("image tokens", made / "image_tokens.npz", load_image_tokens, "encode_images"),
        ("latents", latents, load_image_latents, "encode_images"),
        ("training cutouts", made / "pixels.npy", shard, "prepare_cutouts"),
        ("sequences", made / "sequences.safetensors", sequences, "pack_sequences"),
        ("scalar tokenizer", run.scalar_tokenizer, ScalarTokenizer.load, "train_scalar_tokenizer"),
        (
            "spectrum tokenizer", run.spectrum_tokenizer, SpectrumTokenizer.load,
            "assemble_spectrum_tokenizer",
        ),
        ("autoencoder", run.autoencoder, TrainedAutoencoder.load, "train_image_autoencoder"),
        ("model", run.final_model, load_model, "train_transformer"),
        (
            "exported autoencoder", exported.autoencoder, TrainedAutoencoder.load,
            "train_image_autoencoder",
        ),
        ("exported weights", exported.weights, exported_model, "export_model"),
        ("similarity space", index.similarity_space, IndexSpace.load, "train_index"),
        ("similarity vectors", index.similarity_vectors("A"), vectors, "index_field"),
        ("similarity index", index.similarity_index, index_of, ""),
        ("JSON", folder / "summary.json", entries, ""),
    ]  # fmt: skip
    return {name: Artefact(Path(path), read, rule) for name, path, read, rule in listed}


NAMES = (
    "split", "scalar tokens", "spectrum tokens", "image tokens", "latents", "training cutouts",
    "sequences", "scalar tokenizer", "spectrum tokenizer", "autoencoder", "model",
    "exported autoencoder", "exported weights", "similarity space", "similarity vectors",
    "similarity index", "JSON",
)  # fmt: skip


def check_damage(artefact: Artefact, damage: Damage) -> str:
    """Read a damaged file: "right" where that gives what was written, "refused" by an error."""
    whole, wanted = artefact.path.read_bytes(), content(artefact.read(artefact.path))
    message = ""
    try:
        artefact.path.write_bytes(damage(whole))
        found = content(artefact.read(artefact.path))
    except FormatError as error:
        message = str(error)
    finally:
        artefact.path.write_bytes(whole)
    if not message:
        assert found == wanted
        return "right"
    assert artefact.path.name in message or artefact.path.parent.name in message
    assert re.search(f"; (delete it|use .* or move it away) and run {artefact.rule}", message)
    return "refused"


@pytest.mark.parametrize("name", NAMES)
@examples(20)
@given(damage=flips() | flips(0, 0.05) | flips(0.95) | cuts() | holes() | strangers())
def test_damage_is_noticed(artefacts, tally, name, damage):
    """What is read is what was written, or an error names the file and the rule to run."""
    tally(f"damage to {name}", check_damage(artefacts[name], damage))


@examples(20)
@given(damage=flips() | flips(0.95) | holes() | strangers())
def test_damage_to_a_history_is_noticed(history, tally, damage):
    """A line that is not what was written is refused; lines lost at the end leave no trace."""
    tally("damage to history", check_damage(history, damage))


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> Artefact:
    """The losses of a training."""
    path = tmp_path_factory.mktemp("run") / "history.jsonl"
    splits = ("train", "validation") * 5
    entries = [{"step": n, "split": split, "loss": n / 7} for n, split in enumerate(splits)]
    path.write_text("".join(map(history_line, entries)))
    return Artefact(path, read_history, "train_transformer")


class Evil:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def npy(descr: str, shape: tuple[int, ...], data: bytes = b"") -> bytes:
    """A ``.npy`` that claims to be of a type and shape."""
    stream = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + data


def archive(path: Path, members: Mapping[str, bytes], **options: Any) -> Path:
    """A zip of members, with an array file's ``meta`` among them."""
    meta = io.BytesIO()
    np.save(meta, np.array(json.dumps(PLAIN)))
    with zipfile.ZipFile(path, "w", **options) as made:
        for name, data in {"meta.npy": meta.getvalue(), **members}.items():
            made.writestr(name, data)
    return path


HOSTILE_ARRAYS = {
    "a pickle": lambda p: archive(p, {"x.npy": npy("|O", (1,), pickle.dumps(Evil(p / "no")))}),
    "a bare pickle": lambda p: p.write_bytes(pickle.dumps(Evil(p.parent / "run"))),
    "a pickle as a member": lambda p: archive(p, {"x": pickle.dumps(Evil(p.parent / "run"))}),
    "10^12 numbers": lambda p: archive(p, {"x.npy": npy("<f8", (10**12,))}),
    "10^18 of no size": lambda p: archive(p, {"x.npy": npy("<f8", (10**18, 10**18))}),
    "fewer numbers than are there": lambda p: archive(p, {"x.npy": npy("<f8", (1,), bytes(800))}),
    "a structure": lambda p: archive(p, {"x.npy": npy([("a", "<f8")], (1,), bytes(8))}),
    "a deep header": lambda p: archive(p, {"x.npy": b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535}),
    "a later version": lambda p: archive(p, {"x.npy": b"\x93NUMPY\x03\x00" + bytes(100)}),
    "a bomb": lambda p: archive(
        p, {"x.npy": npy("<f8", (2**24,), bytes(2**27))}, compression=zipfile.ZIP_DEFLATED
    ),
}


@pytest.mark.parametrize("name", HOSTILE_ARRAYS)
def test_hostile_array_files(tmp_path, tally, name):
    """No code is run and nothing large is made: the file is refused by name."""
    path = tmp_path / "a.npz"
    HOSTILE_ARRAYS[name](path)
    with pytest.raises(FormatError, match=r"a\.npz must be an array .*run split_field again"):
        load_arrays(path, **PLAIN)
    assert not (tmp_path / "run").exists()
    tally("hostile array files", "refused")


def test_members_that_lie_on_one_another(tmp_path, tally):
    """Many names for the same bytes: a small file that holds many large arrays."""
    path = archive(tmp_path / "a.npz", {"x.npy": npy("<f8", (1000,), bytes(8000))})
    whole = path.read_bytes()
    with zipfile.ZipFile(path, "a") as made:
        (member,) = [m for m in made.infolist() if m.filename == "x.npy"]
        made.filelist.extend([member] * 50)
        made._didModify = True
    assert path.stat().st_size < 2 * len(whole)
    with pytest.raises(FormatError, match="members claim .* byte of|Overlapped"):
        load_arrays(path, **PLAIN)
    tally("hostile array files", "refused")


def test_json_of_a_hundred_thousand_levels(tmp_path, tally):
    """As a file, and as the metadata of an array file and of tensors."""
    deep = "[" * 100_000
    (tmp_path / "a.json").write_text(deep)
    with pytest.raises(FormatError, match=r"a\.json must be a JSON file"):
        read_json(tmp_path / "a.json")
    with (tmp_path / "a.npz").open("wb") as stream:
        np.savez(stream, meta=np.array(deep))
    with pytest.raises(FormatError, match=r"a\.npz must be an array file"):
        load_arrays(tmp_path / "a.npz", **PLAIN)
    (tmp_path / "a.safetensors").write_bytes(len(deep).to_bytes(8, "little") + deep.encode())
    with pytest.raises(FormatError, match=r"a\.safetensors must be a safetensors file"):
        map_tensors(tmp_path / "a.safetensors")
    for _ in range(3):
        tally("hostile JSON", "refused")


ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "I64", "BF16", "U8", "", None]),
        "shape": st.lists(st.integers(-(10**12), 10**12), max_size=3) | st.none(),
        "data_offsets": st.lists(st.integers(-100, 10**18), max_size=3) | st.just([0, 8]),
    }
)


@examples(50)
@given(entry=ENTRIES, length=st.integers(0, 2**64 - 1) | st.none())
def test_headers_of_tensors(tmp_path_factory, tally, entry, length):
    """Whatever a header claims, an array is a part of the file, or is refused."""
    path = tmp_path_factory.getbasetemp() / "h.safetensors"
    text = json.dumps({"x": entry}).encode()
    size = len(text) if length is None else length
    path.write_bytes(size.to_bytes(8, "little") + text + bytes(64))
    message, size = "", 0
    try:
        arrays, _ = map_tensors(path)
        size = sum(array.nbytes for array in arrays.values())
    except FormatError as error:
        message = str(error)
    if message:
        assert re.search(
            r"h\.safetensors must be a safetensors file, got .*; (delete|use)", message
        )
    assert size <= 64
    tally("hostile headers of tensors", "refused" if message else "right")


STATE = {"format": "transformer", "version": 2}


def rewritten(path: Path, change: Callable[[str, bytes], bytes], **options: Any) -> Path:
    """A checkpoint with members changed, and their CRCs made good."""
    with zipfile.ZipFile(path) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    with zipfile.ZipFile(path, "w", **options) as made:
        for name, data in members.items():
            made.writestr(name, change(name, data))
    return path


def test_code_in_a_checkpoint(tmp_path, tally):
    """A pickle that calls a function is refused, inside an archive and bare."""
    mark = tmp_path / "run"
    torch.save({**STATE, "x": Evil(mark)}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Evil(mark)))
    torch.save({**STATE, "x": Evil(mark)}, tmp_path / "c.pt", _use_new_zipfile_serialization=False)
    for name in "abc":
        with pytest.raises(FormatError, match=rf"{name}\.pt must be transformer.*run train_trans"):
            load_model(tmp_path / f"{name}.pt")
        tally("hostile checkpoints", "refused")
    assert not mark.exists()


def test_a_compressed_checkpoint(tmp_path, tally):
    """What could inflate is refused before it does."""
    save_model(tmp_path / "a.pt", {"x": torch.zeros(2**22)})
    path = rewritten(tmp_path / "a.pt", lambda _, d: d, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**20
    with pytest.raises(FormatError, match="is compressed"):
        load_model(path)
    tally("hostile checkpoints", "refused")


def test_a_tensor_larger_than_its_bytes(tmp_path, tally):
    """A tensor that claims more numbers than the file has is refused, not read beyond its end."""
    save_model(tmp_path / "a.pt", {"x": torch.arange(2.0**20)})
    path = rewritten(tmp_path / "a.pt", lambda name, d: d[:16] if "/data/" in name else d)
    with pytest.raises(FormatError, match=r"a\.pt must be transformer .*16 bytes"):
        load_model(path)
    tally("hostile checkpoints", "refused")


def test_a_damaged_weight_is_noticed(tmp_path):
    """PyTorch would load it: it checks no CRC."""
    save_model(tmp_path / "a.pt", {"x": torch.arange(2.0**10)})
    whole = bytearray((tmp_path / "a.pt").read_bytes())
    whole[whole.index(np.float32(77).tobytes())] ^= 1
    (tmp_path / "a.pt").write_bytes(whole)
    assert torch.load(tmp_path / "a.pt")["x"].shape == (1024,)
    with pytest.raises(FormatError, match="Bad CRC-32"):
        load_model(tmp_path / "a.pt")


@pytest.mark.parametrize("change", [{"d_model": 2**20}, {"n_layers": 10**9}, {"d_ff": 10**12}])
def test_a_model_larger_than_its_weights(artefacts, tmp_path, tally, change):
    """Settings that tell of another size than the weights are refused before a model is made."""
    state = load_model(artefacts["model"].path)
    state["config"]["model"] |= change
    folder = tmp_path / "results/runs_tokens_transformer"
    save_model(folder / "final_model.pt", state)
    with pytest.raises(
        FormatError, match=r"final_model\.pt.* must be .* got .*; use .* or move it away"
    ):
        load_bundle(folder)
    tally("hostile checkpoints", "refused")


def test_an_autoencoder_larger_than_its_weights(artefacts, tmp_path, tally):
    """The same of an exported autoencoder."""
    arrays, meta = map_tensors(artefacts["exported autoencoder"].path)
    settings = {**json.loads(meta["settings"]), "hidden": 10**9}
    path = tmp_path / "a.safetensors"
    save_tensors(path, arrays, {**meta, "settings": json.dumps(settings)})
    with pytest.raises(FormatError, match=r"a\.safetensors.* must be .*; use .* or move it away"):
        TrainedAutoencoder.load(path)
    tally("hostile checkpoints", "refused")


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.mkdir [{mark}]",
        "paths: !!python/object/new:os.mkdir [{mark}]",
        "a: !!python/name:os.system ''",
    ],
)
def test_yaml_runs_no_code(tmp_path, tally, text):
    """A configuration is data."""
    (tmp_path / "c.yaml").write_text(text.replace("{mark}", str(tmp_path / "run")))
    with pytest.raises(ConfigError, match=r"c\.yaml must be a YAML file, got could not determine"):
        load_config(tmp_path / "c.yaml")
    assert not (tmp_path / "run").exists()
    tally("hostile configurations", "refused")
