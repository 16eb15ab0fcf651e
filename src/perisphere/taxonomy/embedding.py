"""Classes of a taxonomy as points whose geometry is the taxonomy's.

Source: Barz and Denzler, "Hierarchy-based image embeddings for semantic image retrieval", WACV 2019,
section 3.2 and algorithm 1. The published algorithm places one class after another by a linear system each;
its points are the rows of a Cholesky factor, which is what is computed here.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, eigh

from perisphere.errors import PerisphereError, UsageError, nearest
from perisphere.taxonomy.class_points import ClassPoints
from perisphere.taxonomy.relations import Id
from perisphere.taxonomy.similarity import similarities
from perisphere.taxonomy.taxonomy import Taxonomy

Method = Literal["unitsphere", "approx_sim", "spheres", "mds"]
"""What of the taxonomy the points keep: dot products 1 - D (the first two), or Euclidean distances D."""

ROUNDING = 1e-8
"""Eigenvalues between minus this and zero are zeros."""
BLOCK = 1 << 22  # numbers of the deviation that are held at once


def embed(
    taxonomy: Taxonomy,
    classes: Sequence[Id] | None = None,
    method: Method = "unitsphere",
    *,
    num_dim: int | None = None,
    unit: bool = False,
    far: NDArray[np.float64] | None = None,
) -> ClassPoints:
    """Place the classes.

    With D the heights of the lowest common subsumers over the taxonomy's:

    - ``unitsphere``: n unit vectors with dot products exactly 1 - D, in n dimensions;
    - ``approx_sim``: the ``num_dim`` leading eigenvectors of 1 - D, dot products as near as they can be;
    - ``spheres``: n - 1 dimensions, Euclidean distances exactly D, the first class at the origin;
    - ``mds``: classical multi-dimensional scaling of D, ``num_dim`` dimensions (default n - 1).

    Args:
        taxonomy: where the classes stand.
        classes: in the order of the points; ``None`` takes all leaves.
        method: one of the above.
        num_dim: for ``approx_sim`` (default n) and ``mds``.
        unit: bring the points to length one afterwards.
        far: the classes' :func:`dissimilarities` where they are known already; they stay as they are.

    Raises:
        UsageError: an unknown method, or ``num_dim`` out of range or of a method without it.
        PerisphereError: a class given twice, or classes that cannot be placed so; the message names them.
    """
    chosen = list(taxonomy.leaves if classes is None else classes)
    _check_classes(chosen)
    dim = _dimensions(method, num_dim, len(chosen))
    if far is None:
        far = dissimilarities(taxonomy, chosen)
    if method == "unitsphere":
        points = unit_sphere(1 - far, chosen)
    elif method == "approx_sim":
        points = leading_similarities(1 - far, dim)
    elif method == "spheres":
        points = meeting_spheres(far, chosen)
    else:
        points = scaled(far, dim)
    if unit:
        points = _unit(points, chosen)
    return ClassPoints(points, tuple(map(str, chosen)), taxonomy, method)


def unit_sphere(similar: NDArray[np.float64], classes: Sequence[Id]) -> NDArray[np.float64]:
    """Return unit rows with the dot products ``similar``, float64 ``[n, n]``, lower triangular.

    ``similar`` (unit diagonal) is overwritten.

    Raises:
        PerisphereError: there are no such points.
    """
    points, failed = _factorised(similar.T)
    if failed is None:
        return np.ascontiguousarray(points)
    raise PerisphereError(
        f"class {classes[failed]!r} has no place on the sphere among the {failed} before it "
        f"({_few(classes[:failed])}): "
        "it coincides with another, or a taxonomy that is no tree contradicts itself. "
        "Leave it out, reduce the taxonomy to a tree, or take approx_sim with fewer dimensions."
    )


def leading_similarities(similar: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
    """Return rows ``[n, dim]`` with dot products nearest to ``similar``, the leading eigenvector last.

    Raises:
        PerisphereError: one of the leading eigenvalues is below zero.
    """
    n = len(similar)
    values, vectors = eigh(similar, overwrite_a=True, check_finite=False, subset_by_index=(n - dim, n - 1))
    if values[0] < -ROUNDING:
        raise PerisphereError(
            f"approx_sim: {int((values < -ROUNDING).sum())} of the {dim} leading eigenvalues are below zero: "
            f"similarities that no points have. Lower --num-dim to {int((values >= -ROUNDING).sum())}."
        )
    return vectors * np.sqrt(values.clip(min=0))


def meeting_spheres(far: NDArray[np.float64], classes: Sequence[Id]) -> NDArray[np.float64]:
    """Return rows ``[n, n - 1]`` with the Euclidean distances ``far``; the first is the origin.

    Raises:
        PerisphereError: the spheres around the earlier points, on which a class must lie, do not meet.
    """
    from_first = far[0, 1:] ** 2
    products = (from_first[:, None] + from_first[None, :] - far[1:, 1:] ** 2) / 2
    placed, failed = _factorised(products)
    if failed is not None:
        raise PerisphereError(
            f"class {classes[failed + 1]!r} has no place: the spheres around the {failed + 1} classes "
            f"before it ({_few(classes[: failed + 1])}) do not meet. Take unitsphere or approx_sim."
        )
    return np.vstack([np.zeros((1, len(far) - 1)), placed])


def scaled(far: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
    """Return rows ``[n, dim]`` with distances near ``far`` by classical scaling, the largest axis first."""
    squares = far**2
    squares -= squares.mean(0)
    squares -= squares.mean(1, keepdims=True)
    squares *= -0.5
    n = len(far)
    values, vectors = eigh(squares, overwrite_a=True, check_finite=False, subset_by_index=(n - dim, n - 1))
    return np.ascontiguousarray((vectors * np.sqrt(values.clip(min=0)))[:, ::-1])


def deviation(points: ClassPoints, far: NDArray[np.float64] | None = None) -> tuple[float, float]:
    """Return the largest and the mean absolute deviation of the points from what their method aims at.

    For ``unitsphere`` and ``approx_sim`` of dot products from 1 - D over all pairs, for ``spheres`` and
    ``mds`` of Euclidean distances from D.

    Args:
        points: with the taxonomy that they were made of.
        far: their classes' :func:`dissimilarities` where they are known already.

    Raises:
        PerisphereError: the points come without a taxonomy.
    """
    if points.taxonomy is None:
        raise PerisphereError("class points without their taxonomy have no target to deviate from.")
    if far is None:
        far = dissimilarities(points.taxonomy, points.taxonomy.classes_of(points.classes))
    squares = (points.points**2).sum(1)
    largest = total = 0.0
    step = max(1, BLOCK // len(points))
    for begin in range(0, len(points), step):
        rows = slice(begin, begin + step)
        upto = min(begin + step, len(points))  # the other half is the same by symmetry
        used = int(np.flatnonzero(points.points[rows].any(axis=0)).max(initial=0)) + 1
        dots = points.points[rows, :used] @ points.points[:upto, :used].T
        if points.method in ("spheres", "mds"):
            apart = np.sqrt((squares[rows, None] + squares[None, :upto] - 2 * dots).clip(min=0))
            off = np.abs(apart - far[rows, :upto])
        else:
            off = np.abs(dots - (1 - far[rows, :upto]))
        largest = max(largest, float(off.max()))
        total += 2 * float(off[:, :begin].sum()) + float(off[:, begin:].sum())
    return largest, total / len(points) ** 2


def dissimilarities(taxonomy: Taxonomy, classes: Sequence[Id]) -> NDArray[np.float64]:
    """Return height(lcs) / height of the taxonomy with a zero diagonal, float64 ``[n, n]``."""
    found = similarities(taxonomy, classes, "lcs_height")
    np.subtract(1, found, out=found)
    np.fill_diagonal(found, 0)
    return found


def _check_classes(classes: Sequence[Id]) -> None:
    if len(set(classes)) < len(classes):
        twice = next(each for number, each in enumerate(classes) if each in classes[:number])
        raise PerisphereError(f"class {twice!r}: is given twice. Name it once.")
    if len(classes) < 2:
        raise PerisphereError("an embedding needs at least two classes.")


def _dimensions(method: str, num_dim: int | None, classes: int) -> int:
    known = list(get_args(Method))
    if method not in known:
        raise UsageError(f"no embedding {method!r}.{nearest(method, known) or f' There are {known}.'}")
    if method in ("unitsphere", "spheres"):
        if num_dim is not None:
            raise UsageError(f"'--num-dim' is for approx_sim and mds; {method} has as many as it needs.")
        return classes
    most = classes - (method == "mds")
    if num_dim is not None and not 1 <= num_dim <= most:
        raise UsageError(f"'--num-dim' is {num_dim}; for {classes} classes it must lie between 1 and {most}.")
    return num_dim or most


def _unit(points: NDArray[np.float64], classes: Sequence[Id]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    if not lengths.all():
        origin = classes[int(np.flatnonzero(lengths[:, 0] == 0)[0])]
        raise PerisphereError(f"class {origin!r} is the origin, which has no direction. Leave --norm out.")
    return points / lengths


def _factorised(products: NDArray[np.float64]) -> tuple[NDArray[np.float64], int | None]:
    """Return the lower Cholesky factor, and the first row that has no place; ``products`` is overwritten."""
    try:
        factor = cholesky(products, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError as error:  # it says "3-th leading minor ...", from 1
        return products, int(str(error).split("-", 1)[0].split()[-1]) - 1
    weak = np.flatnonzero(np.diag(factor) < np.sqrt(ROUNDING))
    return factor, int(weak[0]) if len(weak) else None


def _few(classes: Sequence[Id]) -> str:
    return ", ".join(repr(each) for each in classes[:3]) + (", ..." if len(classes) > 3 else "")
