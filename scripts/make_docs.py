#!/usr/bin/env python3
"""Regenerates what the documentation contains that a command prints: `./dev docs`.

    scripts/make_docs.py            rewrites the generated blocks
    scripts/make_docs.py --check    names the pages that would change; exit code 1 if there are any

A generated block stands between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is a key of
`BLOCKS`. What stands around it is written by hand.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from docs_markdown import ROOT, table

_BLOCK = re.compile(r"(<!-- generated: ([a-z_]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def pages() -> list[Path]:
    """Every page that is checked: README, CHANGELOG, CONTRIBUTING and docs/."""
    return sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))


def plain(value: Any) -> str:
    """A default as one would write it in JSON."""
    return f"`{json.dumps(value)}`"


# Options of networks and parts: defaults from the library, meaning from the headers' comments.

_STRUCT = re.compile(r"struct (\w*Options|NetworkShape) \{\n(.*?)\n\};", re.DOTALL)
_FIELD = re.compile(r"^  [\w:<>, ]+ (\w+)(?: = [^;]*|\{[^;]*\})?;(?:\s*///< ?(.*))?$")


def header_comments() -> list[dict[str, str]]:
    """Field -> comment of every options aggregate under models/ and nn/."""
    found = []
    for folder in ("models", "nn"):
        for header in sorted((ROOT / "include" / "deeplight" / folder).glob("*.hpp")):
            for _, body in _STRUCT.findall(header.read_text()):
                found.append(_fields(body))
    return found


def _fields(body: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    above: list[str] = []
    # A field or its trailing comment may be wrapped onto the next line by the formatter.
    body = re.sub(r"=\n\s+", "= ", body)
    for line in body.splitlines():
        stripped = line.strip()
        if stripped.startswith("///<"):
            last = next(reversed(fields), None)
            if last:
                fields[last] = f"{fields[last]} {stripped[4:].strip()}".strip()
        elif stripped.startswith("///"):
            above.append(stripped[3:].strip())
        elif match := _FIELD.match(line):
            name, comment = match.groups()
            fields[name] = (comment or " ".join(above)).strip()
            above = []
        elif not stripped:
            above = []
    return fields


def _meaning(options: dict[str, Any], structs: list[dict[str, str]]) -> dict[str, str]:
    """Comments of the aggregate that has exactly these fields, or most of them."""
    return max(structs, key=lambda s: (len(s.keys() & options.keys()), -len(s)), default={})


def option_rows(options: dict[str, Any], prefix: str = "") -> list[list[str]]:
    """Dotted name, default and meaning of every option, nested ones included."""
    structs, rows = header_comments(), []
    meaning = _meaning(options, structs)
    for name, value in options.items():
        if isinstance(value, dict):
            rows += option_rows(value, f"{prefix}{name}.")
        else:
            rows.append([f"`{prefix}{name}`", plain(value), meaning.get(name, "")])
    return rows


def model_blocks() -> str:
    """One table of options for each registered network."""
    import deeplight
    from deeplight.models import model_info

    parts = []
    for name in deeplight.list_models():
        info = model_info(name)
        count = sum(p.numel() for p in deeplight.create_model(name).parameters())
        scales = ", ".join(map(str, info.scales))
        kind = "An interpretation: the paper leaves layers open." if info.interpretation else ""
        parts.append(
            f"### `{name}`\n\n{info.summary[0].upper()}{info.summary[1:]}. {info.citation}. "
            f"Scales {scales}; {count:,} parameters with the defaults. {kind}".rstrip()
            + "\n\n"
            + table(("option", "default", "meaning"), option_rows(info.default_options))
        )
    return "\n".join(parts)


def part_blocks() -> str:
    """Options of every part that is bound."""
    from deeplight import nn

    shape = {"scale", "width", "guides"}
    rows = []
    for name in nn.__all__:
        part = getattr(nn, name)
        options = part.default_options()
        told = isinstance(options.get("guides"), list)
        own = {key: value for key, value in options.items() if not (told and key in shape)}
        first = f"`{name}`" + (" (and `scale`, `width`, `guides`)" if told else "")
        listed = ", ".join(f"`{key}={json.dumps(value)}`" for key, value in own.items()) or "none"
        rows.append([first, part.__doc__.splitlines()[0], listed])
    return table(("part", "what", "options and defaults"), rows)


# Weights, command line and training configuration.


def command_blocks() -> str:
    """Arguments and options of every command."""
    import typer

    from deeplight.cli import COMMANDS, app

    group = typer.main.get_command(app)
    parts = []
    for name, summary in COMMANDS.items():
        rows = []
        for parameter in group.get_command(None, name).params:
            positional = not parameter.opts[0].startswith("-")
            names = parameter.metavar if positional else ", ".join(parameter.opts)
            default = parameter.default
            shown = "" if default in (None, False) else f"`{default}`"
            rows.append([f"`{names}`", "required" if parameter.required else shown, parameter.help])
        parts.append(
            f"### `deeplight {name}`\n\n{summary}\n\n" + table(("", "default", "meaning"), rows)
        )
    return "\n".join(parts)


def config_blocks() -> str:
    """Keys of a training configuration with their defaults."""
    from deeplight.losses import DeepLightLoss
    from deeplight.training import schema

    rows: dict[str, list[str]] = {}

    def walk(cls: type, where: str) -> None:
        hints = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            kind = hints[field.name]
            inner = (typing.get_args(kind) or (None,))[0]
            dotted = f"{where}.{field.name}" if where else field.name
            if dataclasses.is_dataclass(kind):
                walk(kind, dotted)
            elif inner is not None and dataclasses.is_dataclass(inner):
                walk(inner, f"{dotted}[]")
            elif dotted == "loss":
                rows["loss"] = [_key(k, v) for k, v in DeepLightLoss().options.items()]
            else:
                rows.setdefault(where, []).append(_key(field.name, _default(field)))

    walk(schema.TrainingConfig, "")
    shown = [(f"`{_header(name)}`", ", ".join(keys)) for name, keys in rows.items()]
    return table(("table", "keys and defaults"), shown)


def _default(field: dataclasses.Field) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return dataclasses.MISSING


def _key(name: str, value: Any) -> str:
    missing = value is dataclasses.MISSING
    return f"`{name}` (required)" if missing else f"`{name} = {json.dumps(value)}`"


def _header(name: str) -> str:
    return f"[[{name.removesuffix('[]')}]]" if name.endswith("[]") else f"[{name}]"


def convention_blocks() -> str:
    """Which package equals which option of a score, as recorded."""
    import metric_conventions

    header = ("score", "options", "equals", "call", "to")
    return table(header, metric_conventions.table_rows())


def bad_input_blocks() -> str:
    """What the command line says to each kind of bad input, by running it."""
    import bad_input

    rows = []
    for case, error, code in bad_input.outcomes():
        shown = error if len(error) <= 240 else f"{error[:240]} ..."
        rows.append((case, f"`{shown}`", str(code)))
    return table(("input", "error", "exit code"), rows)


def speed_blocks() -> str:
    """What the benchmarks printed last, as recorded."""
    import docs_speed

    return docs_speed.speed_blocks()


def _scores(name: str) -> Callable[[], str]:
    def block() -> str:
        import docs_scores

        return getattr(docs_scores, name)()

    return block


BLOCKS: dict[str, Callable[[], str]] = {
    "models": model_blocks,
    "parts": part_blocks,
    "weights": _scores("weight_blocks"),
    "weight_overview": _scores("weight_overview"),
    "ablations": _scores("ablation_blocks"),
    "commands": command_blocks,
    "training_config": config_blocks,
    "bad_input": bad_input_blocks,
    "metric_conventions": convention_blocks,
    "speed": speed_blocks,
}


def regenerated(text: str, cache: dict[str, str]) -> str:
    """The page with every generated block made anew.

    Raises:
        ValueError: a block of an unknown name, or one that is never closed.
    """

    def replace(match: re.Match[str]) -> str:
        name = match.group(2)
        if name not in BLOCKS:
            raise ValueError(f"unknown block '{name}'; known: {', '.join(BLOCKS)}")
        if name not in cache:
            cache[name] = BLOCKS[name]().rstrip("\n")
        return f"{match.group(1)}\n{cache[name]}\n\n{match.group(4)}"

    if len(_BLOCK.findall(text)) != text.count("<!-- generated: "):
        raise ValueError("a generated block is not closed by <!-- end -->")
    return _BLOCK.sub(replace, text)


def stale_pages(write: bool = False) -> list[Path]:
    """Pages whose generated blocks differ from what is printed now; rewrites them if asked to."""
    cache: dict[str, str] = {}
    stale = []
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = regenerated(before, cache)
        if before != after:
            stale.append(page)
            if write:
                page.write_text(after, encoding="utf-8")
    return stale


def main() -> None:
    """Rewrites or checks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if stale")
    arguments = parser.parse_args()
    stale = stale_pages(write=not arguments.check)
    for page in stale:
        print(page.relative_to(ROOT))
    if arguments.check and stale:
        sys.exit("these pages are not what the commands print: ./dev docs")


if __name__ == "__main__":
    main()
