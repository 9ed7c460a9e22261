"""``--set KEY=VALUE``: a key of a training configuration, given on the command line."""

from __future__ import annotations

import re
import tomllib
from typing import Any

__all__ = ["setting"]


def setting(text: str) -> tuple[str, Any]:
    """``run.steps=10`` as key and value; a word that is no TOML value is a string."""
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not re.fullmatch(r"[A-Za-z_][\w.]*", key):
        raise ValueError(f"--set takes KEY=VALUE, e.g. run.steps=10, got '{text}'")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        if re.fullmatch(r"[\w./~-]+", value):
            return key, value
        raise ValueError(f"--set {key}: not a TOML value: {value or 'nothing'}") from None
