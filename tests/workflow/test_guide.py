"""The Python of the README and of the page on the model, line by line, on the results of a run."""

import re
from collections.abc import Mapping
from contextlib import chdir

import numpy
import pytest
import torch

from helpers.console import demo_checkout, python_blocks, spans
from helpers.workflow import ROOT

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def names(finished, tmp_path_factory):
    """What both pages' Python blocks define, run as they stand after `make demo`."""
    folder = demo_checkout(tmp_path_factory.mktemp("guide") / "astromodal", finished)
    cubes = folder / "results/demo/cubes"
    (cubes / "datacube_SIM-0005.parquet").symlink_to(cubes / "datacube_T-3.parquet")
    defined: dict = {}
    with chdir(folder):
        python_blocks("README.md", defined)
        python_blocks("docs/model.md", defined)
    return defined


@pytest.fixture(scope="module")
def guide(names):
    """Everything that the page on the model defines."""
    return names["config"], names["vocab_spec"], names["model"].eval(), names["checkpoint"]


def test_a_redshift_is_a_distribution(names):
    """The README's block gives a median and a width for each object."""
    redshift, objects = names["redshift"], names["objects"]
    assert redshift.median.shape == redshift.std.shape == (len(objects),)
    assert (redshift.std > 0).all()


def test_the_table_names_what_there_is():
    """Each method of `AstroModel` that the table of steps names exists."""
    import astromodal

    methods = set(re.findall(r"`AstroModel\.(\w+)`", (ROOT / "docs/usage.md").read_text()))
    assert methods == {"embed", "predict", "from_run", "finetune", "save", "similar", "encode"}
    assert all(hasattr(astromodal.AstroModel, name) for name in methods)


@pytest.mark.parametrize(
    ("call", "names"),
    [("numpy.load", "*.np[yz]"), ("torch.load", "*.pt")],
    ids=("arrays", "models"),
)
def test_files_load_as_the_page_says(finished, call, names):
    """Without a pickle, every one of the run."""
    (said,) = [span.text for span in spans("docs/formats.md") if span.text.startswith(call)]
    paths = sorted(finished.results.rglob(names))
    assert paths
    for path in paths:
        loaded = eval(said, {"numpy": numpy, "torch": torch, "path": path})
        for key in loaded if isinstance(loaded, Mapping) else ():
            loaded[key]


def test_the_version():
    """`import astromodal; astromodal.__version__` works."""
    import astromodal

    assert astromodal.__version__.count(".") == 2


def test_a_checkpoint_holds_what_the_page_says(guide):
    """Model, optimizer, step, epoch, loss history, config and vocabulary."""
    keys = {"model_state_dict", "optimizer_state_dict", "step", "epoch", "loss_history", "config"}
    assert {*keys, "vocab_spec"} <= guide[3].keys()


def test_the_model_gives_logits(guide):
    """`model(token_ids, token_types, key_padding_mask)` is (B, T, V)."""
    _, vocab_spec, model, _ = guide
    token_ids = torch.tensor([[1, 3, 7, 9, 2], [1, 3, 8, 2, 0]])
    token_types = torch.tensor([[0, 1, 1, 1, 0], [0, 1, 1, 0, 0]])
    logits = model(token_ids, token_types, token_ids == 0)
    assert logits.shape == (2, 5, vocab_spec.vocab_size)
    assert torch.isfinite(logits).all()


def test_the_image_loss(guide):
    """`image_reconstruction_loss` gives a loss, or the reconstructed latents."""
    from astromodal.training import image_reconstruction_loss

    config, vocab_spec, model, _ = guide
    image_codebook = torch.randn(config.vocab.image, config.tokenizers.image.latent_dim)
    target_tokens = torch.tensor([[5, 6, vocab_spec.scalar_offset, 2]])
    token_types = torch.tensor([[1, 1, 2, 0]])
    logits = model(target_tokens, token_types, torch.zeros_like(token_types, dtype=torch.bool))
    reconstructed_latents = image_reconstruction_loss(
        logits, target_tokens, image_codebook, return_reconstruction=True
    )
    assert reconstructed_latents.shape[-1] == config.tokenizers.image.latent_dim
    assert image_reconstruction_loss(logits, target_tokens, image_codebook) > 0


def test_the_scalar_loss(guide, finished):
    """`scalar_reconstruction_loss` takes the fitted tokenizer's centers."""
    from astromodal.core import build_vocab_spec
    from astromodal.core.paths import Layout
    from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
    from astromodal.training import scalar_reconstruction_loss

    config, vocab_spec, model, _ = guide
    tokenizer = ScalarTokenizer.load(Layout(str(finished.results)).scalar_tokenizer)
    spec = build_vocab_spec(
        *config.vocab, config.tokenizers.spectrum.groups, config.tokenizers.scalar.n_bins
    )
    target_tokens = torch.tensor([[vocab_spec.scalar_offset, vocab_spec.scalar_offset + 1, 2]])
    logits = model(target_tokens, torch.tensor([[2, 2, 0]]))
    centers = torch.from_numpy(tokenizer.standardised())
    loss = scalar_reconstruction_loss(logits, target_tokens, centers, vocab_spec=spec)
    assert loss > 0


def test_the_model_is_used(guide, finished):
    """`astromodal.AstroModel` loads the run, and its latents are the losses' reconstructions."""
    import astromodal
    from astromodal.core.paths import Layout
    from astromodal.training import image_reconstruction_loss

    _, vocab_spec, model, _ = guide
    paths = Layout(str(finished.results))
    loaded = astromodal.AstroModel.from_run(paths.run)
    assert loaded.vocabulary.vocab_size == vocab_spec.vocab_size
    objects = loaded.open(paths.sequences("T-3"))
    codebook = torch.from_numpy(loaded.tokenizers.image.standardised())
    first = int(objects.has("image").argmax())
    batch = objects.sequences.batch(torch.tensor([first]).numpy())
    token_ids, token_types = (torch.from_numpy(a)[None].long() for a in (batch.tokens, batch.types))
    logits = model(token_ids, token_types)
    reconstructed_latents = image_reconstruction_loss(
        logits[:, :-1], token_ids[:, 1:], codebook, return_reconstruction=True
    )
    image = (token_ids[0, 1:] >= 5) & (token_ids[0, 1:] < vocab_spec.scalar_offset)
    latents = reconstructed_latents[0, image].detach().numpy()  # (576, L)
    grid = latents.T.reshape(1, -1, 24, 24)
    pixels = loaded.tokenizers.image.decode_latents(grid)
    assert pixels.shape == (1, 12, 96, 96)
    assert torch.isfinite(torch.from_numpy(pixels)).all()


def test_scalars_are_reconstructed_in_physical_units(guide, finished):
    """With the tokenizer's own centers, a reconstruction lies within the column's values."""
    from astromodal.core import build_vocab_spec
    from astromodal.core.paths import Layout
    from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
    from astromodal.training import scalar_reconstruction_loss

    config, _, model, _ = guide
    tokenizer = ScalarTokenizer.load(Layout(str(finished.results)).scalar_tokenizer)
    spec = build_vocab_spec(
        *config.vocab, config.tokenizers.spectrum.groups, config.tokenizers.scalar.n_bins
    )
    column = tokenizer.columns.index("mag_pstotal_r")
    target_tokens = torch.tensor([[spec.column_offset(column)]])
    logits = model(torch.tensor([[3]]), torch.tensor([[2]]))
    centers = torch.from_numpy(tokenizer.centers)
    magnitude = scalar_reconstruction_loss(
        logits, target_tokens, centers.nan_to_num(), return_reconstruction=True, vocab_spec=spec
    ).item()
    assert 14 < magnitude < 22
