"""Kubernetes quantities: `500m`, `1.5Gi`, `2e3`, as numbers and back.

A quantity keeps the family of its suffix when it is printed: binary (`Ki`), decimal (`k`) or exponent (`e3`).
"""

import re
from decimal import ROUND_UP, Context, Decimal

_SHAPE = re.compile(r"[+-]?[0-9.]+[eEinumkKMGTP]*[-+]?[0-9]*")
_PARTS = re.compile(r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?P<suffix>.*)")
_EXPONENT = re.compile(r"[eE](?P<power>[+-]?[0-9]{1,9})")
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIXES = {power: suffix for suffix, power in _BINARY.items()}
_DECIMAL_SUFFIXES = {power: suffix for suffix, power in _DECIMAL.items()}
_EXACT = Context(prec=64)
_NANO = Decimal("1e-9")
_LARGEST = Decimal(2**63 - 1)
_MAX_LENGTH = 64


class BadQuantity(ValueError):
    """A text that is no Kubernetes quantity; the message is Kubernetes' own."""


def parse(text: str) -> Decimal:
    """The value of a quantity, in its base unit (cores, bytes, devices).

    Values finer than a billionth are rounded away from zero, values beyond 2**63-1 are cut there, as Kubernetes does.
    Raises BadQuantity.
    """
    return _parsed(text)[0]


def canonical(text: str) -> str:
    """The quantity in Kubernetes' canonical form: no fraction, the largest suffix that fits. Raises BadQuantity."""
    value, family = _parsed(text)
    if family == "binary" and abs(value) >= 1024 and value == value.to_integral_value():
        return _binary_text(int(value))
    return _decimal_text(value, exponents=family == "exponent")


def is_whole(value: Decimal) -> bool:
    """Whether a value counts whole things; fractions below a thousandth count as one more thousandth."""
    thousandths = _EXACT.multiply(value, Decimal(1000)).to_integral_value(ROUND_UP)
    return int(thousandths) % 1000 == 0


def _parsed(text: str) -> tuple[Decimal, str]:
    parts = _PARTS.fullmatch(text) if len(text) <= _MAX_LENGTH and _SHAPE.fullmatch(text) else None
    if parts is None:
        raise BadQuantity(
            r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    number, suffix = Decimal(parts["number"]), parts["suffix"]
    exponent = _EXPONENT.fullmatch(suffix)
    if suffix in _BINARY:
        family, value = "binary", _EXACT.multiply(number, Decimal(1024 ** _BINARY[suffix]))
    elif suffix in _DECIMAL:
        family, value = "decimal", number.scaleb(_DECIMAL[suffix], _EXACT)
    elif exponent is not None:
        # Anything outside is cut or rounded below; keeping it small keeps the arithmetic cheap.
        power = max(-200, min(200, int(exponent["power"])))
        family, value = "exponent", number.scaleb(power, _EXACT)
    else:
        raise BadQuantity("unable to parse quantity's suffix")
    return _bounded(value), family


def _bounded(value: Decimal) -> Decimal:
    if abs(value) >= _LARGEST:
        return _LARGEST.copy_sign(value)
    return value.quantize(_NANO, ROUND_UP, _EXACT)


def _binary_text(value: int) -> str:
    power = 0
    while power < max(_BINARY_SUFFIXES) and value % 1024 == 0:
        value, power = value // 1024, power + 1
    return f"{value}{_BINARY_SUFFIXES.get(power, '')}"


def _decimal_text(value: Decimal, *, exponents: bool) -> str:
    if not value:
        return "0"
    mantissa, power = int(_EXACT.divide(value, _NANO)), -9
    while power < max(_DECIMAL_SUFFIXES) and mantissa % 1000 == 0:
        mantissa, power = mantissa // 1000, power + 3
    if exponents:
        return f"{mantissa}e{power}" if power else str(mantissa)
    return f"{mantissa}{_DECIMAL_SUFFIXES[power]}"
