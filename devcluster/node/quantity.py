"""Kubernetes quantities (`500m`, `64Mi`, `1e3`), as far as resource fields need them; pure."""

import math
from decimal import Decimal, InvalidOperation

_SUFFIXES = {
    **{
        unit: Decimal(1024) ** power
        for power, unit in enumerate(["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"], start=1)
    },
    **{unit: Decimal(1000) ** power for power, unit in enumerate(["k", "M", "G", "T", "P", "E"], start=1)},
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
}


def parse_quantity(text: str | int | float) -> Decimal:
    """Return the number that a quantity stands for."""
    written = str(text)
    for suffix in (written[-2:], written[-1:]):
        if suffix in _SUFFIXES:
            return _number(written.removesuffix(suffix), written) * _SUFFIXES[suffix]
    return _number(written, written)


def divided(quantity: str, divisor: str) -> str:
    """Return a quantity in units of the divisor, rounded up as the downward API does it."""
    unit = parse_quantity(divisor)
    return str(math.ceil(parse_quantity(quantity) / (unit or Decimal(1))))


def _number(digits: str, written: str) -> Decimal:
    """Return the digits as a number, or say which quantity is malformed."""
    try:
        return Decimal(digits)
    except InvalidOperation as error:
        raise ValueError(f"not a quantity: {written!r}") from error
