"""What a start from trained weights took, left and froze; for the screen and for the card."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["InitReport", "parts_of", "summarise"]


@dataclass(frozen=True)
class InitReport:
    """Names of parameters by what became of them.

    Attributes:
        weights: the shipped name or file.
        sha256: of the weights file.
        taken: whole.
        partial: input channels taken and in all; the others start at zero.
        random: as the network was created.
        unused: parts of the weights that found no place.
        frozen: not trained.
        sizes: numbers in each of the network's parameters.
        notes: sentences on differences that are allowed.
    """

    weights: str
    sha256: str
    taken: tuple[str, ...]
    partial: Mapping[str, tuple[int, int]]
    random: tuple[str, ...]
    unused: tuple[str, ...]
    frozen: tuple[str, ...]
    sizes: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def share(self) -> float:
        """Numbers of the network that come from the weights, of all."""
        known = sum(self.sizes[name] for name in self.taken)
        known += sum(self.sizes[name] * n // of for name, (n, of) in self.partial.items())
        return known / sum(self.sizes.values())

    def as_dict(self) -> dict[str, Any]:
        """For the card's ``training.init``: parts instead of single parameters."""
        names = self.sizes.keys()
        return {
            "weights": self.weights,
            "sha256": self.sha256,
            "share": round(self.share, 4),
            "counts": {
                "taken": len(self.taken),
                "partial": len(self.partial),
                "random": len(self.random),
                "unused": len(self.unused),
                "frozen": len(self.frozen),
            },
            "partial": {name: f"{n} of {of} inputs" for name, (n, of) in self.partial.items()},
            "random": summarise(self.random, names),
            "frozen": summarise(self.frozen, names),
            "notes": list(self.notes),
        }

    def print(self, file: Any = None) -> None:
        """A short table on standard error, or on a file."""
        from rich.console import Console
        from rich.table import Table

        console = Console(stderr=True) if file is None else Console(file=file, width=100)
        names = self.sizes.keys()
        table = Table.grid(padding=(0, 2))
        partial = [f"{name} ({n} of {of} inputs)" for name, (n, of) in self.partial.items()]
        rows = (
            ("taken", len(self.taken), summarise(self.taken, names)),
            ("taken in part", len(self.partial), partial),
            ("random", len(self.random), summarise(self.random, names)),
            ("not used", len(self.unused), list(self.unused)),
            ("frozen", len(self.frozen), summarise(self.frozen, names)),
        )
        for title, count, parts in rows:
            if count:
                table.add_row(title, str(count), ", ".join(parts))
        console.print(
            f"starts from {self.weights}: {self.share:.1%} of the network", soft_wrap=True
        )
        console.print(table)
        for note in self.notes:
            console.print(f"note: {note}", soft_wrap=True, markup=False, highlight=False)


def parts_of(names: Iterable[str]) -> list[str]:
    """Every dotted prefix: ``a.b.weight`` -> ``a``, ``a.b``, ``a.b.weight``."""
    parts: dict[str, None] = {}
    for name in names:
        pieces = name.split(".")
        parts.update(dict.fromkeys(".".join(pieces[: i + 1]) for i in range(len(pieces))))
    return list(parts)


def summarise(chosen: Collection[str], names: Collection[str], prefix: str = "") -> list[str]:
    """The fewest parts that hold all of ``chosen`` and nothing else of ``names``."""
    wanted = set(chosen)
    below = [name for name in names if name.startswith(prefix)]
    if not wanted.intersection(below):
        return []
    if prefix and wanted.issuperset(below):
        return [prefix.removesuffix(".")]
    heads = dict.fromkeys(
        prefix + head + (dot and ".")
        for head, dot, _ in (name[len(prefix) :].partition(".") for name in below)
    )
    return [part for head in heads for part in summarise(chosen, names, head)]
