"""Reads a training configuration: a TOML file into the dataclasses of :mod:`.schema`, strictly.

An unknown key names the nearest known one, a wrong type names the key. Tables that the native code
describes itself (``[model.options]``, ``[loss]``) are handed on and checked there.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

from deeplight.training.rules import check_rules
from deeplight.training.schema import TrainingConfig

__all__ = ["build", "load_config"]


def load_config(path: str | Path, overrides: dict[str, Any] | None = None) -> TrainingConfig:
    """Reads a TOML configuration.

    A top-level ``base = "other.toml"`` starts from another file, relative to this one: tables are
    merged key by key, lists are replaced.

    Args:
        path: the file. A relative ``data.root`` is relative to its folder, and so is
            ``init.weights`` where it is a file.
        overrides: dotted keys and values that win over the file, e.g. ``{"run.steps": 10}``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not TOML, an unknown key, a wrong type, a value out of range; the file and the
            key are named.
    """
    path = Path(path)
    table = _read(path, ())
    for key, value in (overrides or {}).items():
        *parents, last = key.split(".")
        inner = table
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{path}: '{key}' cannot be set: '{parent}' is no table")
        inner[last] = value
    try:
        config = build(TrainingConfig, table)
        check_rules(config)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    root = Path(config.data.root).expanduser()
    if not (overrides and "data.root" in overrides):
        root = path.parent / root
    data = dataclasses.replace(config.data, root=str(root))
    weights = config.init.weights
    if _is_file(weights) and not (overrides and "init.weights" in overrides):
        weights = str(path.parent / Path(weights).expanduser())
    init = dataclasses.replace(config.init, weights=weights)
    return dataclasses.replace(config, data=data, init=init)


def _is_file(weights: str) -> bool:
    """Whether initial weights are a path, not a shipped name."""
    path = Path(weights)
    return path.suffix in (".safetensors", ".json") or len(path.parts) > 1


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The file's tables over those of the file that its ``base`` names, and so on."""
    if not path.is_file():
        asked = f" (the base of '{seen[-1]}')" if seen else ""
        raise FileNotFoundError(f"no such configuration: '{path}'{asked}")
    if path.resolve() in [one.resolve() for one in seen]:
        raise ValueError(f"{path}: is its own base, by way of '{seen[-1]}'")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a TOML file: {error}") from error
    base = table.pop("base", None)
    if base is None:
        return table
    if not isinstance(base, str):
        raise ValueError(f"{path}: 'base' must be a string, got {base!r}")
    below = _read(path.parent / base, (*seen, path))
    # Relative to the file that says it, wherever that is seen from.
    for name, key in (("data", "root"), ("init", "weights")):
        inner = below.get(name)
        value = inner.get(key) if isinstance(inner, dict) else None
        if not isinstance(value, str) or Path(value).expanduser().is_absolute():
            continue
        if key == "root" or _is_file(value):
            below[name][key] = os.path.relpath((path.parent / base).parent / value, path.parent)
    return _merged(below, table)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(below[key], above[key])
        for key in below.keys() & above.keys()
        if isinstance(below[key], dict) and isinstance(above[key], dict)
    }
    return {**below, **above, **both}


def build(cls: type, table: Any, where: str = "") -> Any:
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
        return build(typing.cast(type, kind), value, where)
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
