"""The evaluation of the embeddings, from sequences and cubes to the report's section."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from astromodal.config.evaluate import EvaluationSettings
from astromodal.config.schema import ColumnSettings
from astromodal.core.progress import Progress, quiet
from astromodal.evaluation.embeddings.retrieval import retrieve
from astromodal.evaluation.embeddings.sample import Sample, embed_evaluated
from astromodal.evaluation.embeddings.section import (
    add_agreement,
    add_map,
    add_offsets,
    add_retrieval,
)
from astromodal.evaluation.held_out import EvaluatedField, described, listed
from astromodal.evaluation.report.section import Section
from astromodal.evaluation.report.style import styled
from astromodal.inference.model import AstroModel


def evaluate_embeddings(
    model: AstroModel,
    fields: Sequence[EvaluatedField],
    evaluation: EvaluationSettings,
    columns: ColumnSettings,
    pooling: str,
    figures: str | Path,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Embed unseen objects from all that is not hidden, and see what neighbours have in common.

    Parameters
    ----------
    model : AstroModel
        The model.
    fields : sequence of EvaluatedField
        With the files ``cube`` and ``sequences``; of fields that trained, the test split is used.
    evaluation : EvaluationSettings
        Labels; objects at most, queries that are shown, seed.
    columns : ColumnSettings
        Names of a cube's identifying columns.
    pooling : str
        As for `AstroModel.embed`.
    figures : path
        Folder to write the figures into.
    progress : Progress
        Shows how many fields are done.

    Returns
    -------
    dict
        As `Part.as_dict` gives it.
    """
    section = Section("embeddings", "Embeddings", Path(figures))
    seed, labels = evaluation.seed, evaluation.labels
    sample = embed_evaluated(model, fields, evaluation, columns, pooling, progress)
    section.numbers = {"n_objects": len(sample), "pooling": pooling, "seed": seed,
                    "weights_hash": model.hash}  # fmt: skip
    section.summary = (
        f"{len(sample)} objects: {described(fields)}. Embedded ({pooling} of the states) from all "
        f"that an object has but {listed(labels.hidden, 12) or 'nothing'}. Distances are those of "
        "the 30 leading principal components of standardised embeddings."
    )
    if len(sample) < 3 or not np.ptp(sample.vectors, axis=0).any():
        why = "all embeddings are equal" if len(sample) >= 3 else "there are fewer than three"
        section.notes.append(f"Nothing is told of {len(sample)} embeddings: {why}.")
        return section.as_dict()
    space = embedding_space(sample.vectors)
    shown = retrieve(sample, space, model.tokenizers.image, columns, evaluation.n_examples, seed)
    with styled():
        add_map(section, sample, *plane(space, seed), labels)
        add_offsets(section, sample, space, _absent(sample, model, columns))
        add_agreement(section, sample, space, labels)
        add_retrieval(section, sample, shown)
    return section.as_dict()


def _absent(sample: Sample, model: AstroModel, columns: ColumnSettings) -> dict[str, int]:
    """How many of the scalar columns that any of the sample's fields has each of them lacks."""
    used = [sample.fields[i] for i in np.unique(sample.field)]
    present = {f.name: f.open(columns).columns & set(model.columns) for f in used}
    every = frozenset().union(*present.values())
    return {name: len(every - found) for name, found in present.items()}


N_COMPONENTS = 30
"""Principal components that are kept at most."""
LEAST_TSNE = 60
"""Objects below which t-SNE has too few neighbours to place, and the plane is that of PCA."""
_PERPLEXITY = 30.0


def embedding_space(vectors: np.ndarray) -> np.ndarray:
    """Leading principal components of standardised embeddings.

    Each dimension is first divided by its scatter: a few dimensions of a transformer's states are
    so large that they would decide on all distances.

    Parameters
    ----------
    vectors : float (n, D)
        Embeddings, not all of them equal.

    Returns
    -------
    float64 (n, C)
        C is 30, or n or D where that is less.
    """
    scaled = StandardScaler().fit_transform(vectors.astype(np.float64))
    return PCA(min(N_COMPONENTS, *scaled.shape), svd_solver="full").fit_transform(scaled)


def plane(space: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """Place objects in the plane.

    Parameters
    ----------
    space : float64 (n, C)
        What `embedding_space` gave.
    seed : int
        Seed of t-SNE: same seed, same map.

    Returns
    -------
    places : float64 (n, 2)
        Without a unit.
    way : str
        ``t-SNE`` (van der Maaten & Hinton 2008, JMLR 9, 2579), or ``PCA`` of few objects.
    """
    if len(space) < LEAST_TSNE:
        places = np.zeros((len(space), 2))
        places[:, : min(2, space.shape[1])] = space[:, :2]
        return places, "PCA"
    perplexity = min(_PERPLEXITY, len(space) / 4)
    made = TSNE(init="pca", perplexity=perplexity, random_state=seed).fit_transform(space)
    return made.astype(np.float64), "t-SNE"
