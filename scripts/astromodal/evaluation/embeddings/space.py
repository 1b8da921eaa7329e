"""The space that distances between embeddings are measured in, and its map in the plane."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

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
