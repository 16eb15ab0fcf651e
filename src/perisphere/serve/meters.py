"""What the service tells of itself to Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LATENCIES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Meters:
    """Figures of one service, in a registry of its own.

    Args:
        images: says how many images the index holds.
    """

    def __init__(self, images: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self._seconds = Histogram(
            "perisphere_request_seconds",
            "Seconds from the head of a request to the end of its answer.",
            ["route"],
            buckets=LATENCIES,
            registry=self._registry,
        )
        self._requests = Counter(
            "perisphere_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=self._registry,
        )
        self._batches = Histogram(
            "perisphere_batch_queries",
            "Queries that were answered together.",
            buckets=SIZES,
            registry=self._registry,
        )
        self.gauge("perisphere_images", "Images in the index.", images)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Show a value that is asked for whenever the figures are."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        known = method if method in ("GET", "HEAD", "POST", "DELETE") else "other"
        self._requests.labels(route, known, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, queries: int) -> None:
        """Count one batch."""
        self._batches.observe(queries)

    def text(self) -> bytes:
        """Return all figures in the text format."""
        return bytes(generate_latest(self._registry))
