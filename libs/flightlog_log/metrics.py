"""Counters of the log."""

from prometheus_client import Counter, Gauge, Histogram

append_total = Counter("flightlog_append_total", "Envelopes appended.", ["stream"])
append_conflicts = Counter(
    "flightlog_append_conflicts_total", "Appends refused because another one was first.", ["stream"]
)
for _stream in ("REGISTRY", "EXECUTION", "CATALOG", "SCHEDULER", "ADMISSION"):
    append_conflicts.labels(_stream)
append_seconds = Histogram(
    "flightlog_append_seconds",
    "Time of one append, until it is on disk.",
    buckets=(0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
)
parked_total = Counter(
    "flightlog_parked_total", "Messages parked because a consumer could not digest them.", ["stream", "consumer"]
)
consumer_lag = Gauge(
    "flightlog_consumer_lag", "Messages on the stream a consumer has not dealt with yet.", ["stream", "consumer"]
)
redelivered_total = Counter(
    "flightlog_redelivered_total", "Handlings tried again after a failure.", ["stream", "consumer"]
)
kept_unreadable_total = Counter(
    "flightlog_kept_unreadable_total", "Kept messages that could not be read, each time that they were met.", ["stream"]
)
