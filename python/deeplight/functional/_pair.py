"""One number or two."""

from __future__ import annotations

IntOrPair = int | tuple[int, int]


def pair(value: IntOrPair) -> tuple[int, int]:
    """Rows and columns from one number for both, or from two."""
    return (value, value) if isinstance(value, int) else (value[0], value[1])
