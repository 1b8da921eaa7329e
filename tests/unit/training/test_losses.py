"""The typed-range loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from astromodal.config.training import MeaningfulLossSettings, ModelSettings
from astromodal.core.vocab import MISS, N_SPECIAL
from astromodal.sequences.layout import MODALITIES, SCALAR
from astromodal.sequences.order import divide
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
from astromodal.training.initialisation import new_model
from astromodal.training.losses import ColumnWeights, Sums, TargetSum, TypedLoss
from astromodal.training.targets import NO_TARGET
from astromodal.training.terms import CrossEntropy, Predictions
from helpers.loss_terms import entropy
from helpers.survey import legal_ids

__all__ = ["entropy"]

CPU = torch.device("cpu")


@pytest.fixture
def model(survey):
    torch.manual_seed(1)
    sizes = ModelSettings(d_model=16, n_layers=1, n_heads=2, d_ff=32, dropout=0.0)
    model = new_model(sizes, survey.layout, survey.layout.longest).eval()
    with torch.no_grad():
        model.bias.normal_()
        model.features.normal_()
        model.features_out.weight.normal_(std=0.2)
    return model


def typed_loss(survey, tables=None, **settings):
    chosen = MeaningfulLossSettings(**settings)
    return TypedLoss(survey.layout, tables or survey.tables, chosen, CPU)


def error(sums, modality):
    """Sum of the squared errors of a modality."""
    return sums["squared_error", modality].total.item()


@pytest.fixture
def batch(survey):
    return survey.sequences().batch(np.arange(40), (1, 1))


def test_cross_entropy_equals_that_of_masked_full_logits(survey, batch, model):
    """The loss is the negative log likelihood of full logits with every illegal id masked out."""
    terms = typed_loss(survey).batch_sums(model, batch, None)
    tokens, types, slots = (torch.from_numpy(a) for a in (batch.tokens, batch.types, batch.slots))
    logits = model.logits(model.flat_hidden(tokens, types, slots, batch.shapes))
    logits, total, n = logits.detach(), 0.0, 0
    for after in np.flatnonzero(batch.tokens >= N_SPECIAL):
        slot = int(batch.slots[after]) - 1
        first, size = legal_ids(survey.layout, int(batch.types[after]), slot)
        masked = torch.full_like(logits[after - 1], -torch.inf)
        masked[first : first + size] = logits[after - 1, first : first + size]
        total += float(F.cross_entropy(masked, tokens[after].long()))
        n += 1
    entropies = [terms["cross_entropy", modality] for modality in MODALITIES]
    assert n == sum(each.n for each in entropies)
    found = sum(each.total.item() for each in entropies)
    assert found == pytest.approx(total, rel=1e-5)


def test_the_mean_weighs_every_target_alike(survey, batch, model):
    """Without reconstruction terms the loss is the mean cross-entropy over all targets."""
    loss = typed_loss(survey, enabled=False)
    terms = loss.batch_sums(model, batch, None)
    entropies = [terms["cross_entropy", modality] for modality in MODALITIES]
    total = sum(each.total.item() for each in entropies) / sum(each.n for each in entropies)
    assert loss.total(terms).item() == pytest.approx(total, rel=1e-6)


def test_reconstruction_terms_enter_with_their_weights(survey, batch, model):
    """Each modality's mean squared error is added with its own lambda."""
    weights = {"lambda_image": 0.5, "lambda_scalar": 2.0, "lambda_spectrum": 0.25}
    loss = typed_loss(survey, **weights)
    terms = loss.batch_sums(model, batch, None)
    plain = typed_loss(survey, enabled=False)
    expected = plain.total(plain.batch_sums(model, batch, None)).item()
    for modality in MODALITIES:
        squared = terms["squared_error", modality]
        expected += weights[f"lambda_{modality}"] * squared.total.item() / squared.n
    assert loss.total(terms).item() == pytest.approx(expected, rel=1e-5)


def test_each_group_is_compared_with_its_own_codebook(survey, batch, model):
    """Moving one group's centroids changes the spectrum term; the other terms stand."""
    moved = {**survey.tables.spectrum, "desi_b": survey.tables.spectrum["desi_b"] * 3}
    tables = type(survey.tables)(**{**vars(survey.tables), "spectrum": moved})
    before = typed_loss(survey).batch_sums(model, batch, None)
    after = typed_loss(survey, tables).batch_sums(model, batch, None)
    assert error(after, "spectrum") != error(before, "spectrum")
    assert error(after, "image") == error(before, "image")


def test_a_sample_is_no_larger_than_asked_and_repeats(survey, batch, model):
    """At most k positions per sequence and range are used, the same for the same key."""
    loss = typed_loss(survey, sample_k_per_modality=1)
    once, again, other = (loss.batch_sums(model, batch, key) for key in [(1, 5), (1, 5), (1, 6)])
    assert once["squared_error", "image"].n == len(batch.blocks[1].starts)
    assert error(once, "image") == error(again, "image")
    assert error(once, "image") != error(other, "image")


def test_the_loss_does_not_change_with_a_columns_unit(survey, model):
    """A column in another unit gets the same codes and the same standardised centroids."""
    values = np.random.default_rng(0).lognormal(size=(500, 3))
    scaled = values * [1.0, 1000.0, 1e-3]
    losses = []
    for column in (values, scaled):
        summaries = ColumnSummaries.of(column, list("abc"))
        tokenizer = ScalarTokenizer.fit(summaries, list("abc"), 16)
        scalar = survey.tables.scalar.copy()
        scalar[:3] = tokenizer.standardised()
        codes = tokenizer.encode(column)[:40]
        batch = survey.sequences().batch(np.arange(40))
        offsets = survey.layout.spec.scalar_offset + 16 * np.arange(3)
        shown = batch.columns.place >= 0
        own = (codes[batch.columns.objects] + offsets)[shown]
        batch.tokens[batch.columns.place[shown]] = batch.columns.ids[shown] = own
        tables = type(survey.tables)(**{**vars(survey.tables), "scalar": scalar})
        loss = typed_loss(survey, tables, lambda_scalar=10.0)
        losses.append(loss.total(loss.batch_sums(model, batch, None)).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_every_parameter_is_trained(survey, batch, model):
    """The loss reaches every parameter of the model."""
    loss = typed_loss(survey)
    loss.total(loss.batch_sums(model, batch, (0, 0))).backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []


def test_a_batch_without_real_codes_has_no_loss(survey, model):
    """Where everything is missing the loss is 0, not NaN."""
    scalars_only = np.flatnonzero(survey.sequences().pattern == 1 << 2)[:1]
    batch = survey.sequences().batch(scalars_only)
    batch.columns.ids[:] = MISS
    loss = typed_loss(survey)
    assert loss.total(loss.batch_sums(model, batch, (0, 0))).item() == 0.0


def test_totals_over_common_counts_add_up(survey, model):
    """Parts divided by the counts of all have totals that sum to the total of all."""
    loss, sequences = typed_loss(survey, sample_k_per_modality=2), survey.sequences()
    whole = loss.prepare(sequences.batch(np.arange(40), (1, 1)), (1, 5))
    total = loss.total(loss.prepared_sums(model, whole), whole.counts)
    parts = [
        loss.prepare(sequences.batch(part, (1, 1)), (1, 5))
        for part in divide(np.arange(40), sequences.lengths, 3)
    ]
    counts = np.sum([part.counts for part in parts], axis=0)
    np.testing.assert_array_equal(counts, whole.counts)
    added = sum(loss.total(loss.prepared_sums(model, part), counts) for part in parts)
    assert added.item() == pytest.approx(total.item(), rel=1e-5)


def test_the_objective_of_means_is_the_total(survey, batch, model):
    """What validation calls its loss is the loss that training lowers."""
    loss = typed_loss(survey, lambda_image=0.5)
    terms = loss.batch_sums(model, batch, None)
    assert loss.objective(Sums.of([terms]).means()) == pytest.approx(
        loss.total(terms).item(), rel=1e-5
    )


def test_the_objective_of_nothing_is_unknown(survey):
    """Without a target there is no loss."""
    assert typed_loss(survey).objective(Sums().means()) is None


def test_cross_entropy_enters_with_its_weight(survey, batch, model):
    """At a weight of 0 the reconstruction terms alone are left; it is linear in the weight."""
    totals = []
    for weight in (0.0, 1.0, 2.0):
        loss = typed_loss(survey, lambda_cross_entropy=weight, lambda_image=3.0)
        terms = loss.batch_sums(model, batch, None)
        means = Sums.of([terms]).means()
        totals.append(loss.total(terms).item())
        assert loss.objective(means) == pytest.approx(totals[-1], rel=1e-5)
    squared = 3.0 * means["squared_error_image"] + 0.1 * (
        means["squared_error_scalar"] + means["squared_error_spectrum"]
    )
    assert totals[0] == pytest.approx(squared, rel=1e-5)
    assert totals[2] - totals[1] == pytest.approx(means["cross_entropy"], rel=1e-4)


def test_means_by_hand():
    """Sums over counts by modality, and the cross-entropy of all targets together."""
    means = Sums(np.array([[2.0, 4, 3, 2], [6.0, 4, 0, 0], [0.0, 0, 0, 0]])).means()
    assert means["cross_entropy"] == 1.0
    assert means["cross_entropy_image"] == 0.5
    assert means["squared_error_image"] == 1.5
    assert means["squared_error_scalar"] is None
    assert means["cross_entropy_spectrum"] is None


def test_terms_of_batches_add_up():
    """Numbers and counts of every batch, by modality."""
    batch = {("cross_entropy", m): TargetSum(1.5, 2) for m in MODALITIES}
    batch |= {("squared_error", m): TargetSum(torch.tensor(0.5), 1) for m in MODALITIES}
    np.testing.assert_array_equal(Sums.of([batch, batch]).values, [[3.0, 4, 1.0, 2]] * 3)


def test_sums_survive_a_checkpoint():
    """Written as plain numbers and read back, nothing is rounded."""
    sums = Sums(np.random.default_rng(0).normal(size=(3, 4)))
    np.testing.assert_array_equal(Sums(np.array(sums.as_list())).values, sums.values)


def test_a_registered_term_is_summed_like_the_others(entropy, survey, batch, model):
    """Its weighted mean over all targets is added to the total and to the objective."""
    plain = typed_loss(survey)
    loss = typed_loss(survey, extra={"entropy": 0.5})
    sums = loss.batch_sums(model, batch, None)
    own = [sums["entropy", modality] for modality in MODALITIES]
    mean = sum(each.total.item() for each in own) / sum(each.n for each in own)
    assert sum(each.n for each in own) == loss.prepare(batch, None).counts[0]
    expected = plain.total(plain.batch_sums(model, batch, None)).item() + 0.5 * mean
    assert loss.total(sums).item() == pytest.approx(expected, rel=1e-5)
    means = Sums.of([sums], loss.terms).means()
    assert means["entropy"] == pytest.approx(mean, rel=1e-5)
    assert means["entropy_image"] == pytest.approx(own[0].total.item() / own[0].n, rel=1e-5)
    assert loss.objective(means) == pytest.approx(expected, rel=1e-5)


def test_a_registered_term_reaches_the_gradients(entropy, survey, batch, model):
    """Gradients are those of the total, term by term."""
    gradients = []
    for loss in (typed_loss(survey), typed_loss(survey, extra={"entropy": 0.5})):
        model.zero_grad()
        loss.total(loss.batch_sums(model, batch, (0, 0))).backward()
        gradients.append(model.norm.weight.grad.clone())
    assert not torch.allclose(*gradients)


def test_parts_of_a_registered_term_add_up(entropy, survey, model):
    """Over common counts, totals of parts sum to that of all."""
    loss, sequences = typed_loss(survey, extra={"entropy": 0.5}), survey.sequences()
    whole = loss.prepare(sequences.batch(np.arange(40), (1, 1)), (1, 5))
    total = loss.total(loss.prepared_sums(model, whole), whole.counts)
    parts = [
        loss.prepare(sequences.batch(part, (1, 1)), (1, 5))
        for part in divide(np.arange(40), sequences.lengths, 3)
    ]
    added = sum(loss.total(loss.prepared_sums(model, part), whole.counts) for part in parts)
    assert added.item() == pytest.approx(total.item(), rel=1e-5)


def test_a_spread_target_counts_for_the_bins_around_it(survey, batch, model):
    """In training its loss is the mean NLL by shares of a Gaussian; in validation it is its own."""
    loss = typed_loss(survey, spread=0.1)
    columns = survey.layout[SCALAR].length
    weights = ColumnWeights(np.ones(columns), np.ones(columns))
    spread, alone = (loss.prepare(batch, key, weights) for key in ((1, 2), None))
    (found,) = (each for each in spread.targets if each.neighbours is not None)
    assert all(each.neighbours is None for each in alone.targets)
    codes, shares = found.neighbours
    known = found.codes != NO_TARGET
    torch.testing.assert_close(shares.sum(dim=1), known.float())
    logits = torch.randn(len(codes), found.of.ids.size, dtype=torch.float64)
    predictions = Predictions(found, logits, torch.zeros(1, found.of.ids.size, 1))
    got = CrossEntropy(1.0)(predictions)
    dense = torch.zeros_like(logits).scatter_add_(1, codes, shares.double())
    wanted = -(dense * logits.float().log_softmax(dim=1)).sum()
    assert float(got) == pytest.approx(float(wanted), rel=1e-5)
