"""Counters of the read models."""

from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram

applied_total = Counter("flightlog_projection_applied_total", "Envelopes applied to tables.", ["projection"])
parked_total = Counter("flightlog_projection_parked_total", "Envelopes no table could be made of.", ["projection"])
position = Gauge("flightlog_projection_sequence", "Last stream sequence that the tables contain.", ["projection"])
lag_messages = Gauge(
    "flightlog_projection_lag", "Messages on the stream that the tables do not contain.", ["projection"]
)
lag_seconds = Gauge(
    "flightlog_projection_lag_seconds", "Age of the newest applied envelope when it became visible.", ["projection"]
)
leading = Gauge("flightlog_projection_leading", "1 in the process that writes the tables.", ["projection"])
batch_seconds = Histogram(
    "flightlog_projection_batch_seconds",
    "Time of one batch with its checkpoint.",
    ["projection"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
)
wait_seconds = Histogram(
    "flightlog_projection_wait_seconds",
    "Time that reads waited for a write to be visible.",
    ["projection"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0),
)


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters of one projection, looked up once."""

    applied: Counter
    parked: Counter
    position: Gauge
    lag_messages: Gauge
    lag_seconds: Gauge
    leading: Gauge
    batch_seconds: Histogram
    wait_seconds: Histogram

    @staticmethod
    def of(projection: str) -> "Counters":
        return Counters(
            applied_total.labels(projection),
            parked_total.labels(projection),
            position.labels(projection),
            lag_messages.labels(projection),
            lag_seconds.labels(projection),
            leading.labels(projection),
            batch_seconds.labels(projection),
            wait_seconds.labels(projection),
        )
