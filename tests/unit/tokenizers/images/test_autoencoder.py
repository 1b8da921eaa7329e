import numpy as np
import pytest
import torch

from astromodal.data.cube import Cube
from astromodal.errors import FormatError
from astromodal.tokenizers.images import autoencoder
from astromodal.tokenizers.images.autoencoder import (
    TrainedAutoencoder,
    brighten,
    build_model,
    shape_settings,
    whole_cutouts,
    window_side,
    windows,
)
from helpers.cutouts import (
    SETTINGS,
    cutout_columns,
    cutouts,
    shard_of,
    store_of,
    untrained_autoencoder,
)


@pytest.fixture
def trained():
    return untrained_autoencoder()


@pytest.fixture
def path(tmp_path, trained):
    trained.save(tmp_path / "autoencoder.pt")
    return tmp_path / "autoencoder.pt"


def rewrite(path, **changes):
    torch.save({**torch.load(path, weights_only=True), **changes}, path)


def test_round_trip(path, trained):
    """A file gives back the weights, the normaliser, the settings and the history."""
    loaded = TrainedAutoencoder.load(path)
    assert loaded.hash == trained.hash
    assert (loaded.settings, loaded.n_train) == (trained.settings, trained.n_train)
    assert loaded.history == trained.history
    np.testing.assert_array_equal(loaded.normaliser.softening, trained.normaliser.softening)
    for name, tensor in trained.model.state_dict().items():
        torch.testing.assert_close(loaded.model.state_dict()[name], tensor, rtol=0, atol=0)


def test_same_content_same_bytes(tmp_path, path, trained):
    """A file depends on its content alone, not on its name or on the day."""
    trained.save(tmp_path / "again.pt")
    assert (tmp_path / "again.pt").read_bytes() == path.read_bytes()


def test_plain_torch_reads_it(path):
    """torch.load with its safe default reads the file: there is no code in it."""
    stored = torch.load(path, weights_only=True)
    assert stored["settings"]["bands"] == ["U", "R", "Z"]


def test_hash_covers_weights_normaliser_and_statistics(trained):
    """Anything that changes a latent or a decoded pixel changes the hash."""
    hashes = {trained.hash, untrained_autoencoder(seed=2).hash}
    trained.normaliser.softening[0] *= 2
    hashes.add(TrainedAutoencoder(**vars_of(trained)).hash)
    trained.model.set_statistics(torch.tensor([0.0, 0.1]), torch.ones(2))
    hashes.add(TrainedAutoencoder(**vars_of(trained)).hash)
    assert len(hashes) == 4


def vars_of(trained):
    names = ("model", "normaliser", "settings", "n_train", "history")
    return {name: getattr(trained, name) for name in names}


def test_building_leaves_torchs_seed_alone():
    """A network's weights come from its own seed; the global generator stays as it was."""
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    build_model(shape_settings(SETTINGS), 1)
    assert torch.equal(torch.rand(1), expected)


def test_damaged_file(path):
    """A file that is cut short is refused by name."""
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(
        FormatError, match=r"autoencoder\.pt must be image_autoencoder version 1, got"
    ):
        TrainedAutoencoder.load(path)


def test_file_of_another_kind(path):
    """A dict of another format, and what is no dict, are refused."""
    rewrite(path, version=99)
    with pytest.raises(FormatError, match="must be image_autoencoder version 1, got .* 99"):
        TrainedAutoencoder.load(path)
    torch.save(torch.zeros(1), path)
    with pytest.raises(FormatError, match="must be image_autoencoder version 1, got a file that"):
        TrainedAutoencoder.load(path)


def test_changed_file(path):
    """A file whose content no longer fits its hash is refused, naming both hashes."""
    rewrite(path, softening=torch.ones(3, dtype=torch.float64))
    with pytest.raises(FormatError, match="must be of hash [0-9a-f]{16}, got '?[0-9a-f]{16}"):
        TrainedAutoencoder.load(path)


def test_code_in_a_file_does_not_run(path):
    """A file that would run code when unpickled is refused, and the code does not run."""
    torch.save({"format": Trap()}, path)
    with pytest.raises(
        FormatError, match="must be image_autoencoder .*, got a file of more than tensors"
    ):
        TrainedAutoencoder.load(path)


class Trap:
    def __reduce__(self):
        return pytest.fail, ("the file's code was run",)


def test_it_is_the_same_as_safetensors(tmp_path, trained):
    """Without a pickle, the same content; and the same bytes whenever it is written."""
    paths = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path in paths:
        trained.save_tensors(path)
    loaded = TrainedAutoencoder.load(paths[0])
    assert (loaded.hash, loaded.settings) == (trained.hash, trained.settings)
    assert (loaded.n_train, loaded.history) == (trained.n_train, trained.history)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a safetensors file, got .*; delete it and run train_image_autoencoder again"),
        (b"no header at all", "a safetensors file, got .*; delete it and run"),
        (b"\x02\0\0\0\0\0\0\0{}", "an autoencoder file, got no 'settings'; use .* or move it away"),
    ],
)
def test_damaged_safetensors_are_refused(tmp_path, content, message):
    """Empty and of another kind; one that is whole, but without what belongs in it, may stay."""
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=f"a.safetensors must be {message}"):
        TrainedAutoencoder.load(path)


@pytest.fixture
def store(write_cube, tmp_path):
    pixels = cutouts(10)
    pixels[3, 1, 15, 15] = 0  # not valid
    pixels[:, 0, 15, 15] = 100.0 + np.arange(10)  # identifies the cutout
    cube = Cube(write_cube(cutout_columns(pixels)), "F1")
    return store_of(shard_of(tmp_path, cube))


def numbers(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture
def plain(monkeypatch):
    """No source is brightened."""
    monkeypatch.setattr(autoencoder, "BRIGHTENED", 0.0)


@pytest.mark.parametrize(("size", "side"), [(96, 32), (32, 24), (8, 8)])
def test_side_of_a_window(size, side):
    """A third of the cutout, but at least 24 pixels, or the whole cutout."""
    assert window_side(size) == side


def test_an_epoch_has_every_cutout_once(store, plain):
    """Two passes in batches of four: each cutout stands in each pass, once."""
    batches = list(windows(store, 2, 4, numbers()))
    assert [len(batch.x) for batch in batches] == [4, 4, 2] * 2
    known = sorted(float(store.cutout(i)[0][0, 15, 15]) for i in range(10))
    for part in (batches[:3], batches[3:]):
        peaks = torch.cat([batch.x[:, 0] for batch in part]).amax((1, 2))
        assert sorted(peaks.tolist()) == known


def test_what_is_invalid_is_zero(store, plain):
    """Pixels that were not measured are 0 and marked."""
    for batch in windows(store, 3, 10, numbers()):
        assert (batch.x.dtype, batch.valid.dtype, batch.inside.dtype) == (
            torch.float32,
            torch.bool,
            torch.bool,
        )
        assert (batch.x[~batch.valid] == 0).all()
        assert (~batch.valid).sum() == 1


def test_windows_are_turned_with_their_masks(write_cube, tmp_path, plain):
    """A source whose light fills its slanted mask still fills it in every window."""
    columns = cutout_columns(np.ones((4, 3, 32, 32), np.float32))
    columns |= {"a_pixel_det": [5.0] * 4, "b_pixel_det": [1.0] * 4, "theta_det": [30.0] * 4}
    cube = Cube(write_cube(columns), "F1")
    mask = store_of(shard_of(tmp_path, cube)).cutout(0)[1]
    for band in "URZ":
        columns[f"splus_cut_{band}"] = [np.where(mask, 5.0, 1.0).ravel()] * 4
    store = store_of(shard_of(tmp_path, Cube(write_cube(columns), "F1")))
    masks = set()
    for batch in windows(store, 8, 4, numbers()):
        bright = batch.x[:, 0] > batch.x[:, 0].amin()
        assert torch.equal(bright, batch.inside)
        masks |= {window.numpy().tobytes() for window in batch.inside}
    assert len(masks) > 8


def test_same_generator_same_batches(store):
    """Batches follow from the generator."""
    one, two = (list(windows(store, 2, 4, numbers(7))) for _ in range(2))
    assert all(torch.equal(a.x, b.x) for a, b in zip(one, two, strict=True))


def test_whole_cutouts_in_order(store, plain):
    """All cutouts, whole, with their masks."""
    batches = list(whole_cutouts(store, 4, numbers()))
    assert [tuple(batch.x.shape) for batch in batches] == [(4, 3, 32, 32)] * 2 + [(2, 3, 32, 32)]
    x, inside = store.cutout(9)
    np.testing.assert_array_equal(batches[2].x[1], x.astype(np.float32))
    np.testing.assert_array_equal(batches[2].inside[1], inside)


def test_brightening_multiplies_counts():
    """The counts of a bright source grow by one factor, at most 4; missing pixels stay missing."""
    before = np.full((3, 4, 4), 3.5, np.float32)
    before[1, 0, 0] = np.nan
    factors = []
    for seed in range(40):
        x = before.copy()
        brighten(x, np.ones((4, 4), bool), numbers(seed))
        ratio = np.sinh(x.astype(np.float64)) / np.sinh(before.astype(np.float64))
        assert np.isnan(ratio[1, 0, 0])
        factors.append(np.nanmean(ratio))
        np.testing.assert_allclose(ratio[np.isfinite(ratio)], factors[-1], rtol=1e-5)
    changed = np.array(factors)[np.array(factors) > 1.001]
    assert 4 < len(changed) < 25
    assert changed.max() <= 4


def test_faint_sources_are_not_brightened():
    """A source near the sky's noise stays as it is, or its noise would grow too."""
    x = np.full((1, 4, 4), 2.0, np.float32)
    x[0, 0] = 9.0  # a neighbour outside the mask
    inside = np.zeros((4, 4), bool)
    inside[2:] = True
    before = x.copy()
    for seed in range(20):
        brighten(x, inside, numbers(seed))
    np.testing.assert_array_equal(x, before)
