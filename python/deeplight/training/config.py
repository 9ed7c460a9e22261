"""Reads a training configuration: a TOML file into the dataclasses of :mod:`.schema`, strictly.

An unknown key names the nearest known one, a wrong type names the key. Tables that the native code
describes itself (``[model.options]``, ``[loss]``) are handed on and checked there.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

from deeplight.training.rules import check_rules
from deeplight.training.schema import TrainingConfig

__all__ = ["load_config"]


def load_config(path: str | Path, overrides: dict[str, Any] | None = None) -> TrainingConfig:
    """Reads a TOML configuration.

    Args:
        path: the file. A relative ``data.root`` is relative to its folder.
        overrides: dotted keys and values that win over the file, e.g. ``{"run.steps": 10}``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not TOML, an unknown key, a wrong type, a value out of range; the file and the
            key are named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such configuration: '{path}'")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a TOML file: {error}") from error
    for key, value in (overrides or {}).items():
        *parents, last = key.split(".")
        inner = table
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    try:
        config = _build(TrainingConfig, table, "")
        check_rules(config)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    root = Path(config.data.root).expanduser()
    if not (overrides and "data.root" in overrides):
        root = path.parent / root
    data = dataclasses.replace(config.data, root=str(root))
    return dataclasses.replace(config, data=data)


def _build(cls: type, table: Any, where: str) -> Any:
    """A dataclass from a table; ``where`` is the dotted key of the table."""
    if not isinstance(table, dict):
        raise ValueError(f"'{where}' must be a table, got {table!r}")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in table:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0)
            raise ValueError(
                f"unknown key '{_join(where, key)}'; did you mean '{near[0]}'? "
                f"Known: {', '.join(fields)}"
            )
    hints = typing.get_type_hints(cls)
    values = {}
    for name, described in fields.items():
        if name in table:
            values[name] = _convert(hints[name], table[name], _join(where, name))
        elif (
            described.default is dataclasses.MISSING
            and described.default_factory is dataclasses.MISSING
        ):
            raise ValueError(f"key '{_join(where, name)}' is missing")
    return cls(**values)


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), value, where)
    origin = typing.get_origin(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"'{where}' must be a list, got {value!r}")
        inner = typing.get_args(kind)[0]
        return tuple(_convert(inner, v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise ValueError(f"'{where}' must be a table, got {value!r}")
        return value
    if isinstance(kind, types.GenericAlias):
        raise TypeError(f"no rule for {kind}")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    # bool is an int in Python; a number of steps must not be `true`.
    if type(value) is not kind:
        names = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
        raise ValueError(f"'{where}' must be {names[kind]}, got {value!r}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"'{where}' must be finite, got {value!r}")
    return value


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
