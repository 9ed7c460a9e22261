"""Options between Python keyword arguments and the JSON that native code reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

GuideSet = Mapping[str, int] | Sequence[Mapping[str, Any]]


def guide_list(guides: GuideSet) -> list[dict[str, Any]]:
    """Guides as the ordered list that options hold.

    Args:
        guides: `{"dmo": 7, "dem": 1}` in the order of their fusion, or the list itself.
    """
    if isinstance(guides, Mapping):
        return [{"name": name, "bands": bands} for name, bands in guides.items()]
    return [dict(guide) for guide in guides]


def to_json(options: Mapping[str, Any]) -> str:
    """Keyword arguments as JSON text; `guides` may be a mapping.

    Raises:
        ValueError: a value has no JSON form.
    """
    plain = dict(options)
    if "guides" in plain:
        plain["guides"] = guide_list(plain["guides"])
    for name, value in plain.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise ValueError(f"option '{name}' cannot be {value!r}") from None
    return json.dumps(plain)
