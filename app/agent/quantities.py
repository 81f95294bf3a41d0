"""Kubernetes quantities (``500m``, ``1.5Gi``, ``1e3``), exactly; pure.

Source: the serialization format of ``resource.Quantity`` in apimachinery. The agent keeps the ``kubernetes`` package in
one place (``app.cluster``), and needs no more of it here than a page.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

_BINARY: Final = {f"{letter}i": Decimal(1024**power) for power, letter in enumerate("KMGTPE", 1)}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIXES: Final = _BINARY | {suffix: Decimal(10) ** power for suffix, power in _DECIMAL.items()}
_QUANTITY: Final = re.compile(
    r"([+-]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40}))(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?[0-9]{1,2}))?",
    re.ASCII,
)
_BYTES: Final = ("memory", "ephemeral-storage", "storage", "hugepages-")


def parse_quantity(text: str) -> Decimal:
    """Return the exact value of a quantity in its base unit (cores, bytes, pieces); raise ValueError if it is none."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity such as 500m or 1.5Gi")
    number, suffix, exponent = Decimal(match[1]), match[2] or "", int(match[3] or 0)
    return number * _SUFFIXES[suffix] * Decimal(10) ** exponent


def format_quantity(resource: str, value: Decimal) -> str:
    """Return a value of a resource as people write it: cores or millicores, bytes with the largest exact suffix."""
    if resource == "cpu":
        return _plain(value) if value == value.to_integral_value() else f"{_plain(value * 1000)}m"
    if not resource.startswith(_BYTES):
        return _plain(value)
    for suffix, size in reversed(_BINARY.items()):
        if value >= size and value % size == 0:
            return f"{_plain(value / size)}{suffix}"
    for suffix in ("G", "M", "k"):
        if value and value % _SUFFIXES[suffix] == 0:
            return f"{_plain(value / _SUFFIXES[suffix])}{suffix}"
    return _plain(value)


def parse_quantities(texts: Mapping[str, object]) -> dict[str, Decimal]:
    """Return the quantities by resource; what can't be read is left out."""
    found = {}
    for resource, text in texts.items():
        try:
            found[resource] = parse_quantity(str(text))
        except ValueError:
            continue
    return found


def added(first: Mapping[str, Decimal], second: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return the sum for each resource."""
    return {key: first.get(key, Decimal(0)) + second.get(key, Decimal(0)) for key in (*first, *second)}


def larger(first: Mapping[str, Decimal], second: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return the larger of both for each resource."""
    return {key: max(first.get(key, Decimal(0)), second.get(key, Decimal(0))) for key in (*first, *second)}


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
