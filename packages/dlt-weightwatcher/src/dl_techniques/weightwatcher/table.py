"""The table as people read it, in a terminal and in a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dl_techniques.weightwatcher.result import Analysis

HEADER: Final = (
    "LAYER",
    "SHAPE",
    "ALPHA",
    "STABLE RANK",
    "ENTROPY",
    "CONCENTRATION",
    "STATUS",
)
_LONGEST_NAME: Final = 48
_MEANING: Final = {
    "over-trained": "alpha below 2: the tail is heavier than well-trained layers have",
    "under-trained": "alpha above 6: hardly any correlation beyond randomness",
}


def number(value: Any, digits: int = 2) -> str:
    """A number for a table; a dash for what there is none of.

    Args:
        value: The number.
        digits: Digits after the point.
    """
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    return f"{value:.{digits}f}" if abs(value) < 1e5 else f"{value:.2e}"


def cells(record: dict[str, Any]) -> tuple[str, ...]:
    """The cells of one row.

    Args:
        record: The row.
    """
    alpha = number(record["alpha"])
    if math.isfinite(_or_nan(record["alpha_lo"])):
        alpha += f" [{number(record['alpha_lo'])}, {number(record['alpha_hi'])}]"
    if math.isfinite(_or_nan(record["gof_p"])):
        alpha += f" p {number(record['gof_p'])}"
    taps = f"{record['rf']} x " if record["rf"] > 1 else ""
    status = ", ".join(filter(None, (record["status"], record["warning"])))
    return (
        record["longname"],
        f"{taps}{record['N']} x {record['M']}",
        alpha,
        number(record["stable_rank"]),
        number(record["entropy"], 3),
        number(record["concentration_score"], 3),
        status,
    )


def _or_nan(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def text_table(result: Analysis) -> str:
    """Aligned lines, then the summary and the warnings in words.

    Args:
        result: The analysis.
    """
    rows = [HEADER, *(_short(cells(record)) for record in result.to_records())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    lines = ["  ".join(_align(row, widths)).rstrip() for row in rows]
    return "\n".join([*lines, "", *summary_lines(result)])


def summary_lines(result: Analysis) -> list[str]:
    """The summary and the warnings, in words.

    Args:
        result: The analysis.
    """
    summary = result.summary
    states = ", ".join(f"{n} {state or 'not analysed'}" for state, n in summary["status"].items())
    sizes = f"{summary['parameters']:,} parameters; {summary['skipped']} tensors skipped."
    matrices = f"{summary['layers']} matrices ({states or 'none'})"
    lines = [f"{summary['model']}: {matrices}, {sizes}"]
    metrics = summary["metrics"]
    if "alpha" in metrics:
        alpha = metrics["alpha"]
        lines.append(
            f"alpha: mean {alpha['mean']:.3f}, median {alpha['median']:.3f}, "
            f"by parameters {alpha['weighted_mean']:.3f}"
        )
    for word, count in summary["warnings"].items():
        if count:
            named = [
                record["longname"]
                for record in result.to_records()
                if record["warning"] == word and record["status"] == "ok"
            ]
            more = f" and {count - 3} more" if count > 3 else ""
            lines.append(f"{count} {word} ({_MEANING[word]}): {', '.join(named[:3])}{more}")
    for record in result.to_records():
        if record["status"] in {"nonfinite", "zero", "failed"}:
            lines.append(f"{record['longname']}: {record['status']}: {record['reason']}")
    return lines


def html_table(result: Analysis) -> str:
    """The same for a notebook.

    Args:
        result: The analysis.
    """

    def row(texts: Sequence[str], tag: str) -> str:
        return "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in texts)

    body = "".join(f"<tr>{row(cells(record), 'td')}</tr>" for record in result.to_records())
    notes = "".join(f"<p>{html.escape(line)}</p>" for line in summary_lines(result))
    head = f"<thead><tr>{row(HEADER, 'th')}</tr></thead>"
    return f"<table>{head}<tbody>{body}</tbody></table>{notes}"


def _short(row: tuple[str, ...]) -> tuple[str, ...]:
    name = row[0]
    if len(name) > _LONGEST_NAME:
        name = f"...{name[3 - _LONGEST_NAME :]}"
    return (name, *row[1:])


def _align(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Names and states to the left, numbers to the right."""
    last = len(row) - 1
    pairs = enumerate(zip(row, widths, strict=True))
    return [t.ljust(w) if i in (0, last) else t.rjust(w) for i, (t, w) in pairs]
