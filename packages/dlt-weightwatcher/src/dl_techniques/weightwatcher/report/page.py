"""One self-contained page: it asks for nothing, from anywhere."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from dl_techniques.weightwatcher.__about__ import __version__
from dl_techniques.weightwatcher.report.figures import (
    comparison_figure,
    depth_figure,
    esd_sheet,
    flow_figure,
    heat_figure,
    to_data_uri,
)
from dl_techniques.weightwatcher.table import HEADER, cells, number, summary_lines

if TYPE_CHECKING:
    from dl_techniques.weightwatcher.compared import Comparison
    from dl_techniques.weightwatcher.result import Analysis

_SHEET: Final = 12
_MOST_SPECTRA: Final = 96
_MOST_CHANGES: Final = 200

_STYLE: Final = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2430; background: #fff;
  max-width: 68rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid #dfe3e8;
  padding-bottom: .25rem; }
p { margin: .4rem 0; max-width: 48rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1rem 0; }
.tile { border: 1px solid #dfe3e8; border-radius: 6px; padding: .5rem .8rem; min-width: 7rem; }
.tile b { display: block; font-size: 1.35rem; font-weight: 600; }
.tile span { color: #5b6472; font-size: .85rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .82rem; width: 100%; }
th, td { padding: .22rem .5rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid #eef0f3; font-variant-numeric: tabular-nums; }
th { position: sticky; top: 0; background: #f6f7f9; font-weight: 600; font-size: .72rem; }
th:first-child, td:first-child, th:last-child, td:last-child { text-align: left; }
td:last-child { white-space: normal; min-width: 8rem; }
td:first-child { white-space: normal; overflow-wrap: break-word; }
tr.under td:last-child { color: #a35a00; } tr.over td:last-child { color: #b02a1d; }
tr.bad td { color: #8a8f98; } tr.bad td:last-child { color: #b02a1d; }
img { max-width: 100%; height: auto; display: block; margin: .5rem 0; }
.hint { color: #5b6472; font-size: .9rem; }
details { margin: .75rem 0; } summary { cursor: pointer; }
dt { font-weight: 600; margin-top: .4rem; } dd { margin: 0 0 0 1rem; max-width: 46rem; }
"""

_WORDS: Final = {
    "alpha": """Exponent of the power law fitted to the largest eigenvalues of W^T W. Layers of
    well-trained models mostly lie between 2 and 6; below 2 the tail is heavier than that, above 6
    the matrix is nearly random, or too little of it is tail. In brackets the 95 % bootstrap
    interval, where it was asked for.""",
    "stable rank": """Sum of the eigenvalues over the largest: how many directions carry
    weight.""",
    "entropy": """Entropy of the eigenvalues' shares, between 0 (one direction) and 1 (all
    equal).""",
    "concentration": """1 - (PR - 1)/(n - 1) with the participation ratio PR: 0 for equal
    eigenvalues, 1 for a single one.""",
    "status": """ok; small: fewer than 20 eigenvalues or 10 in the tail; degenerate: a single or
    only equal eigenvalues; zero; nonfinite; too_small and too_large: outside the limits of size;
    failed. Only rows with status ok enter the means.""",
}
_DEPTH_HINT: Final = """The green band is [2, 6]. Hollow points are rows with a status other than
ok; values above 20 are drawn at 20."""
_SPECTRA_HINT: Final = """Density of the eigenvalues on logarithmic axes; in red the fitted power
law and its beginning."""
_METRICS_HINT: Final = "Colours rank the matrices within each metric: dark is lowest."
_RANKING_HINT: Final = "By the mean distance of alpha from [2, 6], then by alpha weighted."


def page(results: Sequence[Analysis], *, comparison: Comparison | None = None) -> str:
    """The whole page.

    Args:
        results: One analysis, or those of a comparison.
        comparison: The comparison, which then comes first.
    """
    title = " / ".join(result.label for result in results)
    body = [f"<h1>{_text(title)}</h1>", '<p class="hint">Spectral diagnostics of the weights.</p>']
    if comparison is not None:
        body += _comparison(comparison)
    for result in results:
        body += _model(result, with_name=comparison is not None)
    body += ["<h2>Words</h2>", "<dl>"]
    body += [f"<dt>{_text(word)}</dt><dd>{_text(meaning)}</dd>" for word, meaning in _WORDS.items()]
    body += ["</dl>", f'<p class="hint">Made by dlt-weightwatcher {__version__}.</p>']
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>"
    )
    return "\n".join([head, *body, "</body></html>\n"])


def _model(result: Analysis, *, with_name: bool) -> list[str]:
    summary = result.summary
    heading = f"{result.label}: summary" if with_name else "Summary"
    parts = [f"<h2>{_text(heading)}</h2>", _tiles(summary)]
    parts += [f"<p>{_text(line)}</p>" for line in summary_lines(result)]
    if len(result):
        parts += [
            "<h2>alpha by depth</h2>",
            _hint(_DEPTH_HINT),
            _image(depth_figure(result), f"alpha by depth of {result.label}"),
            "<h2>Flow</h2>",
            _image(flow_figure(result), f"stable rank, entropy, concentration of {result.label}"),
            "<h2>Matrices</h2>",
            _table(HEADER, _rows(result)),
            "<h2>Metrics</h2>",
            _hint(_METRICS_HINT),
            _image(heat_figure(result), f"metrics of {result.label}"),
        ]
        parts += _spectra(result)
    parts += _skipped(result)
    return parts


def _tiles(summary: dict[str, Any]) -> str:
    metrics = summary["metrics"]
    alpha = metrics.get("alpha", {})
    facts = [
        (number(alpha.get("mean")), "mean alpha"),
        (number(alpha.get("weighted_mean")), "mean alpha by parameters"),
        (str(summary["layers"]), "matrices"),
        (f"{summary['parameters']:,}", "parameters"),
        (str(summary["warnings"]["under-trained"]), "alpha above 6"),
        (str(summary["warnings"]["over-trained"]), "alpha below 2"),
    ]
    tiles = "".join(
        f'<div class="tile"><b>{_text(value)}</b><span>{_text(name)}</span></div>'
        for value, name in facts
    )
    return f'<div class="tiles">{tiles}</div>'


def _rows(result: Analysis) -> Iterable[tuple[str, Sequence[str]]]:
    for record in result.to_records():
        bad = record["status"] in {"failed", "nonfinite", "zero"}
        mark = "bad" if bad else str(record["warning"]).partition("-")[0]
        texts = cells(record)
        reason = f"{texts[-1]}: {record['reason']}" if record["reason"] else texts[-1]
        yield mark, (*texts[:-1], reason)


def _table(header: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    def row(texts: Sequence[str], tag: str) -> str:
        name, *others = map(_text, texts)
        # A long name is broken between its parts.
        name = re.sub(r"([./])(?=.)", r"\1<wbr>", name)
        return "".join(f"<{tag}>{text}</{tag}>" for text in (name, *others))

    lines = "".join(f'<tr class="{mark}">{row(texts, "td")}</tr>' for mark, texts in rows)
    head = f"<thead><tr>{row(header, 'th')}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{lines}</tbody></table></div>'


def _spectra(result: Analysis) -> list[str]:
    layers = [layer for layer in result if layer.esd.size > 1 and layer.esd[-1] > 0]
    if not layers:
        return []
    shown = layers[:_MOST_SPECTRA]
    more = f" The first {len(shown)} of {len(layers)}." if len(shown) < len(layers) else ""
    parts = [
        "<h2>Spectra</h2>",
        _hint(_SPECTRA_HINT + more),
    ]
    for first in range(0, len(shown), _SHEET):
        sheet = shown[first : first + _SHEET]
        parts.append(_image(esd_sheet(sheet), f"spectra {first + 1} to {first + len(sheet)}"))
    return parts


def _skipped(result: Analysis) -> list[str]:
    if not result.skipped:
        return []
    rows = [
        ("", (entry.path, " x ".join(map(str, entry.shape)), entry.dtype, entry.reason))
        for entry in result.skipped
    ]
    table = _table(("TENSOR", "SHAPE", "DTYPE", "WHY IT WAS NOT ANALYSED"), rows)
    count = f"{len(rows)} tensors were not analysed"
    return [f"<h2>Left out</h2><details><summary>{count}</summary>{table}</details>"]


def _comparison(comparison: Comparison) -> list[str]:
    models = [
        (
            "",
            (
                record["model"],
                str(record["counted"]),
                number(record["alpha"]),
                number(record["alpha_distance"]),
                number(record["alpha_weighted"]),
                number(record["stable_rank"]),
            ),
        )
        for record in comparison.models
    ]
    layers = [
        (
            "under" if record["significant"] else "",
            (
                record["longname"],
                record["model"],
                f"{number(record['alpha_reference'])} -> {number(record['alpha'])}",
                number(record.get("wasserstein"), 4),
                number(record.get("relative_change"), 4),
                number(record.get("subspace_overlap"), 3),
                number(record.get("cka"), 3),
                "intervals do not overlap" if record["significant"] else "",
            ),
        )
        for record in comparison.layers[:_MOST_CHANGES]
    ]
    first = next(iter(comparison.results))
    unmatched = sum(map(len, comparison.unmatched.values()))
    note = f" {unmatched} matrices have no counterpart." if unmatched else ""
    return [
        "<h2>Models, best first</h2>",
        _hint(_RANKING_HINT),
        _table(
            ("MODEL", "FITTED", "ALPHA", "OUTSIDE [2, 6]", "ALPHA WEIGHTED", "STABLE RANK"), models
        ),
        _image(comparison_figure(comparison), "alpha of all models"),
        "<h2>Changes</h2>",
        _hint(f"Each matrix against that of {first}.{note}"),
        _table(
            (
                "MATRIX",
                "MODEL",
                "ALPHA",
                "WASSERSTEIN",
                "RELATIVE CHANGE",
                "OVERLAP",
                "CKA",
                "SIGNIFICANT",
            ),
            layers,
        ),
    ]


def _hint(text: str) -> str:
    return f'<p class="hint">{_text(text)}</p>'


def _image(figure: Any, description: str) -> str:
    return f'<img src="{to_data_uri(figure)}" alt="{_text(description)}">'


def _text(value: str) -> str:
    return html.escape(str(value))
