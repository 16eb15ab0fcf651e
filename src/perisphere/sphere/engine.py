"""The one place where FAISS is imported, so that its settings are made once.

FAISS 1.15 turns to matrix products only from ``nq * d = 128,000`` on and scans once per query below that,
which makes 16 queries several times slower than they need to be; with few threads the better threshold is
800 multiplications per thread (pull request 5109 of FAISS).
"""

import faiss

faiss.cvar.distance_compute_blas_threshold = 800 * faiss.omp_get_max_threads()

__all__ = ["faiss"]
