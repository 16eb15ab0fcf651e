"""Which tags stand together: counts, correlation, and vectors learned from them."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

_EXACT = 1_500  # tags up to which the exact eigenvectors take a second
_DENSE = 10_000  # tags up to which a dense product is faster than a sparse one, and fits into memory
_ROUNDS, _SPARE = 8, 1.2


def together(photos: sp.csr_array) -> sp.csr_array:
    """Return how many photos carry both of two tags, float64 ``[T, T]``; on the diagonal those of one."""
    columns = photos.astype(np.float64)
    found = sp.csr_array(columns.T @ columns)
    found.sort_indices()
    return found


def mutual_information(pairs: sp.csr_array, photos: int) -> sp.csr_array:
    """Return the positive pointwise mutual information of tags, sparse ``[T, T]``.

    log(n c_ij / (c_i c_j)) of n photos, times c_ij / (c_ij + 1) (Pantel and Lin, 2002): a single photo proves
    little, and two rare tags on it would count as the closest of all.

    Args:
        pairs: of :func:`together`.
        photos: n, those that carry a tag.
    """
    counts = pairs.diagonal()
    cells = pairs.tocoo()
    rows, columns = cells.coords
    information = np.log(photos * cells.data / (counts[rows] * counts[columns]))
    weight = np.maximum(information, 0) * cells.data / (cells.data + 1)
    found = sp.csr_array((weight, (rows, columns)), shape=pairs.shape)
    found.eliminate_zeros()
    return found


def correlation(pairs: sp.csr_array, photos: int, *, least: int = 3) -> sp.csr_array:
    """Return how correlated tags are, sparse ``[T, T]`` in 0 to 1, with an empty diagonal.

    Normalised pointwise mutual information (Bouma, 2009), 1 where one never stands without the other, with
    the discount of :func:`mutual_information`.

    Args:
        pairs: of :func:`together`.
        photos: n, those that carry a tag.
        least: photos that must carry both.
    """
    cells = pairs.tocoo()
    rows, columns = cells.coords
    apart = (rows != columns) & (cells.data >= least) & (cells.data < photos)
    rows, columns, both = rows[apart], columns[apart], cells.data[apart]
    counts = pairs.diagonal()
    information = np.log(photos * both / (counts[rows] * counts[columns])) / -np.log(both / photos)
    weight = np.maximum(information, 0) * both / (both + 1)
    found = sp.csr_array((weight, (rows, columns)), shape=pairs.shape)
    found.eliminate_zeros()
    found.sort_indices()
    return found


def learn_vectors(pairs: sp.csr_array, photos: int, dim: int) -> NDArray[np.float32]:
    """Return vectors of tags whose inner products come nearest to their mutual information.

    The ``d`` largest eigenvalues of :func:`mutual_information` and their eigenvectors, times the root of the
    eigenvalue (Levy and Goldberg, 2014, in its symmetric form: tags are both words and contexts), without a
    shift and with a tag's own count on the diagonal, so that a tag which stands alone has a direction too.
    The same counts give the same vectors. Of more than 1,500 tags the eigenvectors come from 8 rounds of
    subspace iteration (Halko, Martinsson and Tropp, 2011): the largest exact, the smallest nearly.

    Args:
        pairs: of :func:`together`.
        photos: n, those that carry a tag.
        dim: at most; there are never more than tags, and above 12 a multiple of 12, which codes of one to
            four books divide.

    Returns:
        float32 ``[T, d]``; zero for a tag that the ``d`` directions do not reach.
    """
    information = mutual_information(pairs, photos)
    count = information.shape[0]
    dim = min(dim, count)
    dim = dim // 12 * 12 if dim > 12 else dim
    values, directions = _eigenvectors(information, dim)
    largest = np.abs(directions).argmax(0)
    directions = directions * np.sign(directions[largest, np.arange(dim)])
    return (directions * np.sqrt(np.maximum(values, 0))).astype(np.float32)


def _eigenvectors(matrix: sp.csr_array, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalues of a symmetric matrix, largest first, and their vectors as columns."""
    size = matrix.shape[0]
    if size <= _EXACT or count * _SPARE > size:
        # All of them: LAPACK's search for some (dsyevr) fails where many eigenvalues are alike.
        values, vectors = np.linalg.eigh(matrix.toarray())
        return values[::-1][:count], vectors[:, ::-1][:, :count]
    product = matrix.toarray().astype(np.float32) if size <= _DENSE else matrix.astype(np.float32)
    basis = np.random.default_rng(0).standard_normal((size, int(count * _SPARE)), np.float32)
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(product @ basis)[0]
    values, inner = np.linalg.eigh((basis.T @ (product @ basis)).astype(np.float64))
    return values[::-1][:count], (basis @ inner[:, ::-1][:, :count]).astype(np.float64)
