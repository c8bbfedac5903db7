"""Counters of the RPC surface."""

from prometheus_client import Counter, Histogram

requests = Counter("flightlog_rpc_requests_total", "Calls answered.", ["method", "code"])
seconds = Histogram(
    "flightlog_rpc_seconds",
    "Time from the first byte of a call to its answer.",
    ["method"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
