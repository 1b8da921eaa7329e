"""The typed-range loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from astromodal.config.training import MeaningfulLossSettings
from astromodal.core.vocab import MISS, N_SPECIAL
from astromodal.models.transformer import CausalTransformerLM
from astromodal.sequences.dataset import divide
from astromodal.tokenizers.scalars.quantiles import ColumnSummaries
from astromodal.tokenizers.scalars.tokenizer import ScalarTokenizer
from astromodal.training.losses import NO_TARGET, TypedLoss, find_targets, sample_known
from astromodal.training.validation import Sums, sums_of

CPU = torch.device("cpu")


@pytest.fixture
def model(survey):
    torch.manual_seed(1)
    vocab_size = survey.layout.spec.vocab_size
    model = CausalTransformerLM(vocab_size, 16, 1, 2, 32, 0.0, survey.layout.longest).eval()
    with torch.no_grad():
        model.bias.normal_()
        model.features.normal_()
        model.features_out.weight.normal_(std=0.2)
    return model


def typed_loss(survey, tables=None, **settings):
    chosen = MeaningfulLossSettings(**settings)
    return TypedLoss(survey.layout, tables or survey.tables, chosen, CPU)


@pytest.fixture
def batch(survey):
    return survey.sequences().batch(np.arange(40), (1, 1))


def legal_ids(layout, type, slot):
    """First id and number of ids that are legal in a slot (0 the first after SEP)."""
    for ids in layout.of_type(type).ranges:
        if ids.first <= slot < ids.first + ids.n_slots:
            return ids.offset + ids.stride * (slot - ids.first), ids.size
    raise LookupError


def test_targets_are_all_real_codes_and_nothing_else(survey, batch):
    """Each real code is a target once; SEP, BOS, EOS and MISS never are."""
    found = find_targets(batch, survey.layout)
    positions = np.concatenate([r.positions.ravel() for r in found])
    real = np.concatenate([(r.targets != NO_TARGET).ravel() for r in found])
    tokens = batch.tokens[positions + 1]
    assert (tokens[real] >= N_SPECIAL).all()
    assert (tokens[~real] == MISS).all()
    wanted = np.flatnonzero(batch.tokens >= N_SPECIAL)
    np.testing.assert_array_equal(np.sort(positions[real] + 1), wanted)


def test_targets_count_from_their_own_range(survey, batch):
    """A target is its id less the first id that is legal in its slot."""
    for found in find_targets(batch, survey.layout):
        for (c, m), target in np.ndenumerate(found.targets):
            after = found.positions[c, m] + 1
            slot = int(batch.slots[after]) - 1
            first, size = legal_ids(survey.layout, int(batch.types[after]), slot)
            assert size == found.ids.size
            assert target == NO_TARGET or batch.tokens[after] == first + target


def test_cross_entropy_equals_that_of_masked_full_logits(survey, batch, model):
    """The loss is the negative log likelihood of full logits with every illegal id masked out."""
    terms = typed_loss(survey).terms(model, batch, None)
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
    assert n == sum(term.n for term in terms.values())
    found = sum(term.cross_entropy.item() for term in terms.values())
    assert found == pytest.approx(total, rel=1e-5)


def test_the_mean_weighs_every_target_alike(survey, batch, model):
    """Without reconstruction terms the loss is the mean cross-entropy over all targets."""
    loss = typed_loss(survey, enabled=False)
    terms = loss.terms(model, batch, None)
    total = sum(t.cross_entropy.item() for t in terms.values()) / sum(t.n for t in terms.values())
    assert loss.total(terms).item() == pytest.approx(total, rel=1e-6)


def test_reconstruction_terms_enter_with_their_weights(survey, batch, model):
    """Each modality's mean squared error is added with its own lambda."""
    weights = {"lambda_image": 0.5, "lambda_scalar": 2.0, "lambda_spectrum": 0.25}
    loss = typed_loss(survey, **weights)
    terms = loss.terms(model, batch, None)
    plain = typed_loss(survey, enabled=False)
    expected = plain.total(plain.terms(model, batch, None)).item()
    for modality, term in terms.items():
        expected += weights[f"lambda_{modality}"] * term.squared_error.item() / term.n_squared
    assert loss.total(terms).item() == pytest.approx(expected, rel=1e-5)


def test_each_group_is_compared_with_its_own_codebook(survey, batch, model):
    """Moving one group's centroids changes the spectrum term; the other terms stand."""
    moved = {**survey.tables.spectrum, "desi_b": survey.tables.spectrum["desi_b"] * 3}
    tables = type(survey.tables)(**{**vars(survey.tables), "spectrum": moved})
    before = typed_loss(survey).terms(model, batch, None)
    after = typed_loss(survey, tables).terms(model, batch, None)
    assert after["spectrum"].squared_error.item() != before["spectrum"].squared_error.item()
    assert after["image"].squared_error.item() == before["image"].squared_error.item()


def test_a_sample_is_no_larger_than_asked_and_repeats(survey, batch, model):
    """At most k positions a sequence and range enter, the same ones for the same draw."""
    loss = typed_loss(survey, sample_k_per_modality=1)
    once, again, other = (loss.terms(model, batch, draw) for draw in [(1, 5), (1, 5), (1, 6)])
    assert once["image"].n_squared == len(batch.starts[1])
    assert once["image"].squared_error.item() == again["image"].squared_error.item()
    assert once["image"].squared_error.item() != other["image"].squared_error.item()


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
        sep = batch.starts[2][:, None]
        offsets = survey.layout.spec.scalar_offset + 16 * np.arange(3)
        batch.tokens[sep + 1 + np.arange(3)] = codes[batch.objects] + offsets
        tables = type(survey.tables)(**{**vars(survey.tables), "scalar": scalar})
        loss = typed_loss(survey, tables, lambda_scalar=10.0)
        losses.append(loss.total(loss.terms(model, batch, None)).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_every_parameter_is_trained(survey, batch, model):
    """The loss reaches every parameter of the model."""
    loss = typed_loss(survey)
    loss.total(loss.terms(model, batch, (0, 0))).backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert untouched == []


def test_a_batch_without_real_codes_has_no_loss(survey, model):
    """Where everything is missing the loss is 0, not NaN."""
    scalars_only = np.flatnonzero(survey.sequences().pattern == 1 << 2)[:1]
    batch = survey.sequences().batch(scalars_only)
    batch.tokens[batch.tokens >= N_SPECIAL] = MISS
    loss = typed_loss(survey)
    assert loss.total(loss.terms(model, batch, (0, 0))).item() == 0.0


def test_what_is_sampled_does_not_depend_on_the_batch(survey):
    """The positions of an object are drawn from key, object and range, whoever shares its batch."""
    sequences = survey.sequences()
    together = find_targets(sequences.batch(np.arange(60), (1, 1)), survey.layout)
    for number in range(0, 60, 7):
        for found in find_targets(sequences.batch(np.array([number]), (1, 1)), survey.layout):
            n = found.ids.n_slots
            whole = next(r for r in together if r.ids == found.ids)
            row = np.flatnonzero(whole.objects == number)[0]
            sampled = sample_known(whole, 2, (4, 9))
            if found.ids.stride:
                mine = sampled[sampled % len(whole.objects) == row] // len(whole.objects)
            else:
                mine = sampled[sampled // n == row] % n
            np.testing.assert_array_equal(sample_known(found, 2, (4, 9)), mine)


def test_a_sample_is_of_known_targets_and_even(survey):
    """Over many draws each known slot of an object is taken about equally often, others never."""
    batch = survey.sequences().batch(np.arange(120))
    (found,) = (r for r in find_targets(batch, survey.layout) if r.ids.stride)
    counts = np.zeros(found.targets.size)
    for step in range(400):
        sampled = sample_known(found, 2, (4, step))
        counts[sampled] += 1
    known = found.targets != NO_TARGET  # (columns, objects)
    counts = counts.reshape(found.targets.shape)
    assert not counts[~known].any()
    whole = counts[:, known.sum(axis=0) == 3]
    np.testing.assert_allclose(whole, 400 * 2 / 3, rtol=0.25)
    few = known.sum(axis=0) <= 2
    np.testing.assert_array_equal(counts[:, few], 400 * known[:, few])


def test_totals_over_common_counts_add_up(survey, model):
    """Parts divided by the counts of all have totals that sum to the total of all."""
    loss, sequences = typed_loss(survey, sample_k_per_modality=2), survey.sequences()
    whole = loss.prepare(sequences.batch(np.arange(40), (1, 1)), (1, 5))
    total = loss.total(loss.prepared_terms(model, whole), whole.counts())
    parts = [
        loss.prepare(sequences.batch(part, (1, 1)), (1, 5))
        for part in divide(np.arange(40), sequences.lengths, 3)
    ]
    counts = np.sum([part.counts() for part in parts], axis=0)
    np.testing.assert_array_equal(counts, whole.counts())
    added = sum(loss.total(loss.prepared_terms(model, part), counts) for part in parts)
    assert added.item() == pytest.approx(total.item(), rel=1e-5)


def test_the_objective_of_means_is_the_total(survey, batch, model):
    """What validation calls its loss is the loss that training lowers."""
    loss = typed_loss(survey, lambda_image=0.5)
    terms = loss.terms(model, batch, None)
    assert loss.objective(sums_of([terms]).means()) == pytest.approx(
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
        terms = loss.terms(model, batch, None)
        means = sums_of([terms]).means()
        totals.append(loss.total(terms).item())
        assert loss.objective(means) == pytest.approx(totals[-1], rel=1e-5)
    squared = 3.0 * means["squared_error_image"] + 0.1 * (
        means["squared_error_scalar"] + means["squared_error_spectrum"]
    )
    assert totals[0] == pytest.approx(squared, rel=1e-5)
    assert totals[2] - totals[1] == pytest.approx(means["cross_entropy"], rel=1e-4)
