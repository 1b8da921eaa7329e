"""Reconstruction losses: squared error between the expected and the true centroid.

The expectation is taken over the softmax of the ids that are legal, so the loss says how far off a
prediction is, where cross-entropy only says that it is off.

Legend: B batch, T tokens, V vocabulary, M positions, K codebook, L dimensions of a centroid.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import functional as F

from astromodal.core.vocab import N_SPECIAL, VocabSpec
from astromodal.errors import ConfigError, must_be

DEFAULT_V_IMAGE = 2048


def expected_centroids(logits: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Mean centroid under the softmax of `logits`.

    Parameters
    ----------
    logits : float (M, K)
        Logits of the K legal ids.
    centroids : float (K, L) or (M, K, L)
        Their centroids, shared or a table for each position.

    Returns
    -------
    float (M, L)
    """
    weights = logits.float().softmax(dim=-1)  # (M, K)
    if centroids.dim() == 2:
        return weights @ centroids
    return torch.bmm(weights[:, None], centroids)[:, 0]


def image_reconstruction_loss(
    logits: torch.Tensor,
    target_tokens: torch.Tensor,
    image_codebook: torch.Tensor,
    return_reconstruction: bool = False,
) -> torch.Tensor:
    """Mean squared error of the expected image latents.

    Parameters
    ----------
    logits : float (B, T, V)
        Logits of every id; those at t belong to ``target_tokens[:, t]``.
    target_tokens : int (B, T)
        True token ids; only image codes count.
    image_codebook : float (K, L)
        Latents of the image codes.
    return_reconstruction : bool
        Return the expected latents instead.

    Returns
    -------
    float () or (B, T, L)
        The loss, 0 without an image target; or the expected latents, NaN where the target is no
        image code.
    """
    return _range_loss(logits, target_tokens, [(N_SPECIAL, image_codebook)], return_reconstruction)


def scalar_reconstruction_loss(
    logits: torch.Tensor,
    target_tokens: torch.Tensor,
    scalar_centers: torch.Tensor,
    return_reconstruction: bool = False,
    vocab_spec: VocabSpec | None = None,
) -> torch.Tensor:
    """Mean squared error of the expected scalars, each over its own column's bins.

    Parameters
    ----------
    logits, target_tokens, return_reconstruction
        As for `image_reconstruction_loss`; only scalar codes count.
    scalar_centers : float (columns, n_bins)
        Centers of the columns' bins, in vocabulary order, finite in bins that are not in use too;
        standardised for a loss, physical for a reconstruction in physical units.
    vocab_spec : VocabSpec, optional
        The vocabulary; without it, one with the default image codebook of 2048.

    Returns
    -------
    float () or (B, T, 1)
    """
    first = vocab_spec.scalar_offset if vocab_spec else N_SPECIAL + DEFAULT_V_IMAGE
    n_bins = scalar_centers.shape[1]
    tables = [(first + i * n_bins, column[:, None]) for i, column in enumerate(scalar_centers)]
    return _range_loss(logits, target_tokens, tables, return_reconstruction)


def spectrum_reconstruction_loss(
    logits: torch.Tensor,
    target_tokens: torch.Tensor,
    spectrum_codebooks: Mapping[str, torch.Tensor],
    vocab_spec: VocabSpec,
    return_reconstruction: bool = False,
) -> torch.Tensor:
    """Mean squared error of the expected spectrum features, each over its own group's codebook.

    Parameters
    ----------
    logits, target_tokens, return_reconstruction
        As for `image_reconstruction_loss`; only spectrum codes count.
    spectrum_codebooks : mapping of str to float (K, D)
        Centroids by group: D is 2 for spectra and 3 for light curves.
    vocab_spec : VocabSpec
        The vocabulary.

    Returns
    -------
    float () or (B, T, D)
        D is the largest of the groups'; what a group does not have is NaN.
    """
    tables = [(vocab_spec.spectrum_offset(g), table) for g, table in spectrum_codebooks.items()]
    return _range_loss(logits, target_tokens, tables, return_reconstruction)


def _range_loss(
    logits: torch.Tensor,
    target_tokens: torch.Tensor,
    tables: list[tuple[int, torch.Tensor]],
    return_reconstruction: bool,
) -> torch.Tensor:
    """Loss, or expected centroids, of the targets in ranges that start at the given ids."""
    if logits.shape[:2] != target_tokens.shape:
        must = f"of shape {tuple(logits.shape[:2])} as logits"
        raise ConfigError(must_be("target_tokens", must, str(tuple(target_tokens.shape))))
    last = max((first + len(table) for first, table in tables), default=0)
    if last > logits.shape[-1]:
        must = f"of at least {last} ids, as the centroids need"
        raise ConfigError(must_be("logits", must, str(logits.shape[-1]), "give its own vocab_spec"))
    width = max((table.shape[1] for _, table in tables), default=0)
    expected = logits.new_full((*target_tokens.shape, width), torch.nan)
    total, count = logits.sum() * 0.0, 0
    for first, table in tables:
        mine = (target_tokens >= first) & (target_tokens < first + len(table))  # (B, T)
        table = table.to(logits)
        found = expected_centroids(logits[..., first : first + len(table)][mine], table)  # (M, L)
        if return_reconstruction:
            expected[mine] = F.pad(found, (0, width - found.shape[1]), value=torch.nan).to(expected)
        total = total + (found - table[target_tokens[mine] - first]).square().mean(dim=1).sum()
        count += int(mine.sum())
    return expected if return_reconstruction else total / max(1, count)
