"""`dl-techniques port`."""

from __future__ import annotations

import argparse
import inspect
import json
from pathlib import Path
from typing import Any, Final

from dl_techniques.core.cli.output import UserError, complain, say
from dl_techniques.weights.errors import UnknownWeights, WeightsMismatch

_NO_FIT: Final = 2


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command.

    Args:
        parser: The command's parser.
    """
    parser.add_argument("source", help="a file of weights, or a name as `weights list` has it")
    parser.add_argument("--to", required=True, metavar="ID", help='such as "dl_techniques>ViT"')
    parser.add_argument("--variant", help="variant of the component")
    parser.add_argument("--config", default="{}", metavar="JSON", help="further arguments of it")
    parser.add_argument("--layout", help="by default the one that accounts for all keys")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE.keras")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the account as JSON")
    parser.add_argument("--golden", type=Path, metavar="FILE.npz", help="write input and output")
    parser.add_argument(
        "--allow-missing", action="append", default=[], metavar="PATTERN", help="such as 'head.*'"
    )
    parser.add_argument("--accept-license", metavar="NAME", help="the licence that you accept")
    parser.add_argument(
        "--allow-stubs", action="store_true", help="read unknown classes of a pickle as records"
    )
    parser.set_defaults(func=run)


def run(options: argparse.Namespace) -> int:
    """Port one checkpoint; 2 if anything is missing, unexpected or of another shape.

    Args:
        options: The parsed arguments.
    """
    from dl_techniques.core import registry, save_model
    from dl_techniques.weights.rules.load import load

    if options.output.suffix != ".keras":
        raise UserError(f"--output must end in .keras. Received: {options.output}")
    model = _model(options)
    try:
        report = load(
            model,
            options.source,
            options.layout,
            skip=options.allow_missing,
            component=registry.find(options.to).id,
            accept_license=options.accept_license,
            allow_stubs=options.allow_stubs,
        )
    except WeightsMismatch as error:
        _write_report(options.report, error.report.to_json())
        say(error.report.to_text())
        complain(str(error))
        return _NO_FIT
    except UnknownWeights as error:
        complain(str(error))
        return _NO_FIT
    say(report.to_text())
    save_model(model, options.output)
    _write_report(options.report, _provenance(options) | report.to_json())
    if options.golden is not None:
        _write_golden(model, options.golden)
    say(f"{options.output}: {len(report.matches)} matches by the layout {report.layout!r}")
    return 0


def _model(options: argparse.Namespace) -> Any:
    from dl_techniques.core import registry

    try:
        config = json.loads(options.config)
    except ValueError as error:
        raise UserError(f"--config must be a JSON object: {error}") from error
    if not isinstance(config, dict):
        raise UserError("--config must be a JSON object.")
    if options.variant:
        config = {"variant": options.variant, **config}
    # A class, or a function that returns a model of Keras's own classes.
    model = registry.load(options.to)(**config)
    if not getattr(model, "built", False) and _needs_no_shape(model):
        model.build()
    if not getattr(model, "built", False):
        raise UserError(f"{options.to} has no weights yet; give its input shape with --config.")
    return model


def _needs_no_shape(model: Any) -> bool:
    """Return whether the class itself says that its weights depend on no input shape."""
    if "build" not in vars(type(model)):
        return False
    parameters = inspect.signature(model.build).parameters.values()
    named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    return all(p.default is not p.empty for p in named)


def _provenance(options: argparse.Namespace) -> dict[str, Any]:
    """Return where the weights come from: hash, and of a listed file its source and licence."""
    from dl_techniques.weights.catalog import find_weights
    from dl_techniques.weights.download import fetch
    from dl_techniques.weights.integrity import file_hash

    if Path(options.source).is_file():
        return {"sha256": file_hash(Path(options.source))}
    entry = find_weights(options.source)
    path = fetch(entry, accept_license=options.accept_license)
    return {
        "sha256": file_hash(path),
        "licence": entry.licence,
        "licence_url": entry.licence_url,
        "sources": [str(source) for source in entry.sources],
    }


def _write_report(path: Path | None, content: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _write_golden(model: Any, path: Path) -> None:
    """One input of a fixed seed and what the model makes of it."""
    import keras
    import numpy as np

    shapes = [tensor.shape for tensor in getattr(model, "inputs", None) or []]
    if len(shapes) != 1:
        raise UserError("--golden needs a model with one input of known shape.")
    shape = [n or 1 for n in shapes[0]]
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    y = keras.ops.convert_to_numpy(model(x, training=False))
    np.savez(path, input=x, output=np.asarray(y))
