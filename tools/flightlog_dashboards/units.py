"""Numbers as Grafana shows them in a unit. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

_BYTES: Final = ("B", "KiB", "MiB", "GiB", "TiB")
_LETTERS: Final = 42


def shown(value: float, unit: str) -> str:
    """A number in a unit of Grafana's: `s`, `bytes`, `percentunit`, `ops`, `reqps`, `short`, `none`."""
    match unit:
        case "s":
            return _seconds(value)
        case "bytes":
            return _bytes(value)
        case "percentunit":
            return f"{_digits(value * 100)} %"
        case "ops" | "reqps":
            return f"{_digits(value)}/s"
        case _:
            return _short(value)


def cell(value: Any, unit: str) -> str:
    """A cell of a table; only numbers with a fraction are told in the panel's unit."""
    match value:
        case None:
            return ""
        case bool() | int():
            return str(value)
        case float() | Decimal():
            return shown(float(value), unit)
        case datetime():
            return value.astimezone(UTC).strftime("%H:%M:%S")
        case _:
            text = str(value)
            return text if len(text) <= _LETTERS else text[: _LETTERS - 1] + "…"


def _seconds(value: float) -> str:
    if value == 0:
        return "0 s"
    if abs(value) < 0.001:
        return f"{_digits(value * 1e6)} µs"
    if abs(value) < 1:
        return f"{_digits(value * 1e3)} ms"
    return f"{_digits(value)} s" if abs(value) < 120 else f"{_digits(value / 60)} min"


def _bytes(value: float) -> str:
    for unit in _BYTES[:-1]:
        if abs(value) < 1024:
            return f"{_digits(value)} {unit}"
        value /= 1024
    return f"{_digits(value)} {_BYTES[-1]}"


def _short(value: float) -> str:
    if abs(value) >= 1e6:
        return f"{_digits(value / 1e6)} M"
    return f"{_digits(value / 1e3)} K" if abs(value) >= 1e4 else _digits(value)


def _digits(value: float) -> str:
    """Three digits that count, without zeros behind them."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "0" if text == "-0" else text
