"""How payload values become numbers: f and d (betfair spec, section 3)."""

import math
from decimal import Decimal, InvalidOperation
from typing import Any

ZERO = Decimal(0)

Json = Any
"""A JSON value as a parser gives it."""


def to_float(value: Json) -> float:
    """f(x): null, what float() refuses and what isn't finite is 0.0; true is 1.0, "2.5" is 2.5."""
    if value is None:
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if math.isfinite(number) else 0.0


def to_decimal(value: Json) -> Decimal:
    """d(x): Decimal(str(x)), so a float is its shortest text; null, true, refused or not finite is 0."""
    if value is None:
        return ZERO
    try:
        number = Decimal(str(value))
    except (InvalidOperation, ValueError):
        return ZERO
    return number if number.is_finite() else ZERO
