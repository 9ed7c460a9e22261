"""One page of HTML about an evaluation: scores, pictures, errors. It needs no other file."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from deeplight.files import whole_file
from deeplight.score_table import grouped

if TYPE_CHECKING:
    from deeplight.score_table import Column, ScoreTable

__all__ = ["best_of", "html_report", "write_report"]

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>$title</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; }
th, td { padding: .15rem .8rem; text-align: right; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { border-bottom: 1px solid #222; }
tr.group td { color: #777; padding-top: .6rem; }
td.best { font-weight: bold; }
img { max-width: 100%; }
p.note { border-left: 3px solid #c60; padding-left: .6rem; }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; }
dt { color: #777; } dd { margin: 0; overflow-wrap: anywhere; }
footer { color: #777; margin-top: 2rem; font-size: .85rem; }
</style>
</head>
<body>
<h1>$title</h1>
<dl>$facts</dl>
$notes
<h2>Scores</h2>
$table
<p>Bold: the best of a line. A dash: not defined, because no pixel is left to stand on or the image
is smaller than a window. Most pixels of a night image are dark, and an image without any light
scores well over all pixels: read the lit scores and the ratio of light.</p>
$figures
<footer>deeplight $version</footer>
</body>
</html>
""")


def best_of(column: Column, values: Sequence[float]) -> list[bool]:
    """Which of a score's values are the best, as people see them; none where all are alike."""
    cost = {
        "high": lambda value: -value,
        "low": lambda value: value,
        "one": lambda value: abs(value - 1),
        "zero": abs,
        "none": lambda value: 0,
    }[column.best]
    shown = [math.inf if math.isnan(v) else cost(round(v, column.digits)) for v in values]
    least = min(shown, default=math.inf)
    best = [value == least and not math.isnan(v) for value, v in zip(shown, values, strict=True)]
    return [False] * len(best) if all(best) else best


def html_report(
    table: ScoreTable,
    *,
    title: str = "Evaluation",
    facts: Mapping[str, str] | None = None,
    figures: Mapping[str, Any] | None = None,
) -> str:
    """The page as text.

    Args:
        table: the scores.
        title: of the page.
        facts: name -> value, shown above the scores.
        figures: caption -> matplotlib figure; drawn into the page.

    Returns:
        HTML without any reference to another file or address.
    """
    from deeplight import __version__

    shown = {
        **(facts or {}),
        "Pixels": f"{table.shape[0]} x {table.shape[1]}, {table.valid_share:.1%} of them scored",
        "Lit": f"{table.lit_share:.1%} of the scored pixels, truth > {table.lit_threshold:g}",
        "Data range": f"{table.data_range:g}",
    }
    pictures = [
        f'<h2>{escape(caption)}</h2>\n<img alt="{escape(caption)}" '
        f'src="data:image/png;base64,{_png(figure)}">'
        for caption, figure in (figures or {}).items()
    ]
    return _PAGE.substitute(
        title=escape(title),
        facts="".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in shown.items()),
        notes="\n".join(f'<p class="note">{escape(note)}</p>' for note in table.notes),
        table=_table(table),
        figures="\n".join(pictures),
        version=escape(__version__),
    )


def write_report(table: ScoreTable, path: str | Path, **options: Any) -> None:
    """Writes :func:`html_report` as a file that appears whole or not at all.

    Raises:
        OSError: the file cannot be written.
        ImportError: figures were given and matplotlib is not installed.
    """
    text = html_report(table, **options)
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _table(table: ScoreTable) -> str:
    names = list(table.rows)
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *names))
    lines = [f"<table><thead><tr>{head}</tr></thead><tbody>"]
    for group, columns in grouped(table.columns):
        lines.append(f'<tr class="group"><td colspan="{len(names) + 1}">{escape(group)}</td></tr>')
        for column in columns:
            values = [table.rows[name][column.key] for name in names]
            cells = "".join(
                f"<td{' class=best' if best else ''}>{column.text(value)}</td>"
                for value, best in zip(values, best_of(column, values), strict=True)
            )
            lines.append(f"<tr><td>{escape(column.label)}</td>{cells}</tr>")
    lines.append("</tbody></table>")
    return "\n".join(lines)


def _png(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
