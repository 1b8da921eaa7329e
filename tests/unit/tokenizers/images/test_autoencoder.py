import numpy as np
import pytest
import torch

from astromodal.errors import FormatError
from astromodal.tokenizers.images.autoencoder import TrainedAutoencoder, build_model, shape_settings
from helpers.cutouts import SETTINGS, untrained_autoencoder


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
