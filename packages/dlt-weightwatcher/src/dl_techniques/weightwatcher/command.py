"""`dl-techniques watch`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dl_techniques.weightwatcher.analysis_result import AnalysisResult
    from dl_techniques.weightwatcher.comparison import ComparisonResult

_SWITCHES: Final = {
    "mp_fit": "fit the Marchenko-Pastur law to the bulk",
    "randomize": "compare with the spectrum of the permuted entries",
    "detX": "find where the rescaled tail has unit volume",
    "vectors": "measure how localised eigenvectors are",
}
_PASSED_ON: Final = ("include", "exclude", "bootstrap", "gof", "fit", "precision", "experts")
_INTERRUPTED: Final = 130


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Args:
        parser: The command's parser.
    """
    parser.add_argument(
        "source",
        nargs="+",
        help="a .keras, .weights.h5, .weights.json, .h5, .safetensors, .npz, .npy, .pt, .pth or "
        ".bin or .onnx file, or a folder of them; several are compared with the first",
    )
    parser.add_argument("--html", metavar="FILE", help="write one self-contained page")
    parser.add_argument("--json", metavar="FILE", help="write JSON; - for standard output")
    parser.add_argument("--csv", metavar="FILE", help="write the rows as CSV (of one model)")
    parser.add_argument("--png", metavar="DIR", help="write pictures into a folder (of one model)")
    parser.add_argument("--include", action="append", metavar="GLOB", help="only these weights")
    parser.add_argument("--exclude", action="append", metavar="GLOB", help="not these weights")
    parser.add_argument("--base", metavar="SOURCE", help="analyse the change from this model")
    parser.add_argument(
        "--experts",
        choices=("pooled", "each"),
        default="pooled",
        help="one row for all experts of a tensor, or one for each",
    )
    parser.add_argument(
        "--bootstrap", type=int, default=0, metavar="N", help="replicas for intervals"
    )
    parser.add_argument("--gof", type=int, default=0, metavar="N", help="replicas for p-values")
    parser.add_argument("--fit", choices=("PL", "TPL", "E_TPL", "best"), default="PL")
    parser.add_argument("--precision", choices=("float64", "float32"), default="float64")
    parser.add_argument("--compat", choices=("weightwatcher",), help="the reference's definitions")
    for name, text in _SWITCHES.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}", dest=name, action="store_true", help=text
        )
    parser.add_argument("--jobs", type=int, metavar="N", help="workers; by default one a processor")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument("--resume", metavar="DIR", help="keep finished rows here, and continue")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Analyse or compare models; 1 if a matrix holds NaN, or no matrix could be analysed.

    Args:
        options: The parsed arguments.
    """
    from dl_techniques.core.cli.output import UserError, complain

    if len(options.source) > 1 and (options.csv or options.png or options.resume or options.base):
        raise UserError("--csv, --png, --resume and --base are for one model.")
    _check_places(options)
    settings = {
        name: getattr(options, name)
        for name in (
            *_SWITCHES,
            "include",
            "exclude",
            "bootstrap",
            "gof",
            "fit",
            "precision",
            "experts",
        )
    }
    settings.update(
        compat=options.compat,
        n_jobs=options.jobs,
        seed=options.seed,
        progress=sys.stderr.isatty() and not options.quiet,
    )
    try:
        if len(options.source) > 1:
            return _compare(options, settings)
        return _analyse(options, settings)
    except KeyboardInterrupt:
        again = f"; --resume {options.resume} continues" if options.resume else ""
        complain(f"interrupted{again}")
        return _INTERRUPTED


def _check_places(options: argparse.Namespace) -> None:
    """Refuse what could not be written when the analysis is done, before it begins."""
    from dl_techniques.core.cli.output import UserError

    for name in ("html", "json", "csv"):
        text = getattr(options, name)
        if text is None or (name, text) == ("json", "-"):
            continue
        if not Path(text).parent.is_dir():
            raise UserError(f"--{name} {text}: {Path(text).parent} is no folder.")
        if Path(text).is_dir():
            raise UserError(f"--{name} {text}: a file was expected, this is a folder.")
    for name in ("png", "resume"):
        text = getattr(options, name)
        if text is not None and Path(text).exists() and not Path(text).is_dir():
            raise UserError(f"--{name} {text}: a folder was expected, this is a file.")


def _analyse(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    from dl_techniques.core.cli.output import say
    from dl_techniques.weightwatcher.analyzer import analyze_model

    result = analyze_model(options.source[0], base=options.base, resume=options.resume, **settings)
    if options.json != "-":
        say(repr(result))
    _write(options, result)
    if options.csv:
        result.to_csv(options.csv)
    if options.png:
        from dl_techniques.weightwatcher.report.pictures import write_pictures

        write_pictures(result, Path(options.png))
    return _verdict(result)


def _compare(options: argparse.Namespace, settings: dict[str, Any]) -> int:
    from dl_techniques.core.cli.output import say
    from dl_techniques.weightwatcher.comparison import compare_models

    names = _names(options.source)
    comparison = compare_models(dict(zip(names, options.source, strict=True)), **settings)
    if options.json != "-":
        say(repr(comparison))
    _write(options, comparison)
    return max(_verdict(result) for result in comparison.results.values())


def _write(options: argparse.Namespace, result: AnalysisResult | ComparisonResult) -> None:
    from dl_techniques.core.cli.output import say

    if options.json == "-":
        say(result.to_json())
    elif options.json:
        result.to_json(options.json)
    if options.html:
        result.to_html(options.html)


def _verdict(result: AnalysisResult) -> int:
    states = result.summary["status"]
    return int(not len(result) or "nonfinite" in states or "failed" in states)


def _names(sources: list[str]) -> list[str]:
    """The last parts of the paths, as many as tell them apart."""
    for depth in (1, 2, 3):
        names = ["/".join(Path(source).parts[-depth:]) for source in sources]
        if len(set(names)) == len(names):
            return names
    return sources
