"""`analyze_model` and `describe_model`: from a source to a table."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from dl_techniques.core.contract.component import component
from dl_techniques.weightwatcher.__about__ import __version__
from dl_techniques.weightwatcher.analysis_result import AnalysisResult
from dl_techniques.weightwatcher.engine import Job, Work, prepare, run, subtract
from dl_techniques.weightwatcher.readers.opening import open_source
from dl_techniques.weightwatcher.readers.values import in_file
from dl_techniques.weightwatcher.reference import reference_settings
from dl_techniques.weightwatcher.result import Layer
from dl_techniques.weightwatcher.row import Finding
from dl_techniques.weightwatcher.settings import Settings
from dl_techniques.weightwatcher.store import Store


@component(
    "dl_techniques>analyze_model",
    kind="analyzer",
    tags=("weights", "spectral", "diagnostics"),
    paper="arXiv:1810.01075",
    since="0.1",
)
def analyze_model(
    source: Any,
    *,
    include: Any = None,
    exclude: Any = None,
    min_evals: int = 8,
    max_evals: int | None = None,
    max_N: int | None = None,
    conv: str = "slices",
    conv_layout: str = "auto",
    rnn: str = "gates",
    attention: str = "matrix",
    experts: str = "pooled",
    precision: str = "float64",
    method: str = "auto",
    device: str | None = None,
    fit: str | None = "PL",
    xmin: Any = None,
    xmax: int | float | None = None,
    min_tail: int = 2,
    ks: str = "lower",
    fingers: str | None = None,
    bootstrap: int = 0,
    gof: int = 0,
    detX: bool = False,
    mp_fit: bool = False,
    randomize: bool = False,
    vectors: bool = False,
    hill: bool = True,
    farms: float | None = None,
    base: Any = None,
    lora_scaling: float | None = None,
    n_jobs: int | None = None,
    parallel: str = "threads",
    progress: bool | Callable[[int, int, str], None] | None = None,
    seed: int = 0,
    on_error: str = "record",
    compat: str | None = None,
    resume: str | os.PathLike[str] | None = None,
) -> AnalysisResult:
    """Spectral diagnostics of every weight matrix of a model, live or on disk.

    For each matrix W (N x M, N >= M) the eigenvalues lambda of W^T W, a power law fitted to their
    tail (alpha, xmin, D), norms, stable rank, entropy and concentration. No backend is imported:
    files are read without building the model, and a live model has its backend already.

    Args:
        source: A Keras model or layer on any backend, a torch module, a state dict, a mapping of
            names to arrays, an iterator of (name, array), or a path: `.keras`, `.weights.h5`,
            sharded `.weights.json`, `.h5`, `.safetensors`, a Hugging Face folder, `.npz`,
            `.npy`, `.pt`, `.pth`, `.bin`, `.onnx`.
        include: Which weights: a glob, `re:` and a regular expression, a function of a weight,
            or a list of these, compared with path, layer name and layer class.
        exclude: Which of these to leave out.
        min_evals: Fewer eigenvalues give a row with status `too_small`.
        max_evals: More give a row with status `too_large`; by default no limit.
        max_N: A longer side gives a row with status `too_large`; by default no limit.
        conv: `slices` pools the eigenvalues of all kernel taps, `flatten` makes one matrix of
            (taps x in) x out, `fft` takes the matrices of the convolution's frequencies.
        conv_layout: Axis order of kernels: `hwio` (Keras), `oihw` (torch); `auto` takes what
            the source says, or guesses from the shape.
        rnn: `gates` analyses each gate of a recurrent kernel, `whole` the kernel.
        attention: `matrix` joins the heads of a projection, `heads` analyses each.
        experts: `pooled` takes the eigenvalues of all experts of a tensor together, `each` makes
            a row of each expert.
        precision: `float64` or `float32`; the latter is faster, and repeats a layer in
            double precision where the fit hangs on the last digits.
        method: `gram`, `svd`, or `auto`, which takes the SVD for small eigenvalues of float64.
        device: Device of Gram matrices and their eigenvalues: None is NumPy; `cpu`,
            `gpu`, `cuda:1` and the like are devices of the backend that is imported.
        fit: `PL`; `TPL` with an exponential cutoff; `E_TPL` with xmin near the peak; `best`
            also names the best of four laws; None fits nothing.
        xmin: None searches; `"peak"`, a number, or a pair of bounds.
        xmax: An integer drops so many of the largest eigenvalues, a float those above it.
        min_tail: The fewest eigenvalues that a tail may have.
        ks: `lower` measures D at the lower steps of the empirical distribution as the reference
            does, `two_sided` at both.
        fingers: `clip` refits without eigenvalues that stand out, `test` says how unlikely
            the largest is.
        bootstrap: Replicas for the interval alpha_lo, alpha_hi; 200 are plenty.
        gof: Replicas for gof_p, the p-value of the power law; 200 are plenty.
        detX: Whether to find where the rescaled tail has unit volume.
        mp_fit: Whether to fit the Marchenko-Pastur law to the bulk.
        randomize: Whether to compare with the spectrum of the permuted entries.
        vectors: Whether to measure how localised eigenvectors are.
        hill: Whether to add the Hill estimator alpha_hill.
        farms: Aspect ratio of the windows of alpha_farms; None leaves it out.
        base: A source to subtract: the spectra are then those of the change.
        lora_scaling: alpha / r of LoRA factors in a state dict; an adapter_config.json beside a
            file says it itself.
        n_jobs: Workers; None takes one for each processor.
        parallel: `threads`, `loky`, `dask`, `ray`, or another backend of joblib. All give the
            same bits.
        progress: True shows a bar on standard error; or a function of (done, total, name).
        seed: Of everything random.
        on_error: `record` makes a row of whatever goes wrong with a layer, `raise` raises it.
        compat: `"weightwatcher"` computes the columns as weightwatcher 0.7.7 defines them.
        resume: A folder where finished rows are kept, and taken up again if they are there.

    Returns:
        One row for each matrix, their spectra, a summary, and `.skipped`: every tensor that was
        not analysed, with the reason.

    Raises:
        ValueError: If the source cannot be read or an option is not what it may be.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weightwatcher import analyze_model
        >>> weights = {"dense": np.random.default_rng(0).standard_t(3, (300, 100))}
        >>> result = analyze_model(weights, n_jobs=1)
        >>> result[0]["status"], round(result[0]["alpha"], 1)
        ('ok', 6.4)

    References:
        Martin and Mahoney, "Implicit Self-Regularization in Deep Neural Networks",
        arXiv:1810.01075. Clauset, Shalizi and Newman, "Power-law distributions in empirical
        data", arXiv:0706.1062.
    """
    options = {name: value for name, value in locals().items() if name in Settings.names()}
    settings = _settings(options)
    if device is not None:
        n_jobs = _on_one_device(settings, n_jobs, parallel)
    work = _work(source, settings, base, lora_scaling, include, exclude)
    store = None if resume is None else Store(Path(resume))
    # Before anything is computed: a file that changes meanwhile has another key then.
    keys = {
        job.layer_id: _key(job, settings)
        for job in work.jobs
        if store is not None or in_file(job.weight.values)
    }
    layers: dict[int, Layer] = {}
    if store is not None:
        named = {job.name: keys[job.layer_id] for job in work.jobs}
        store.begin(work.label, settings.to_dict(), work.skipped, named)
        kept = {job.layer_id: store.get(job.name, keys[job.layer_id]) for job in work.jobs}
        layers = {index: layer for index, layer in kept.items() if layer is not None}
    open_jobs = [job for job in work.jobs if job.layer_id not in layers]
    found = run(open_jobs, settings, n_jobs=n_jobs, parallel=parallel, progress=progress)
    with closing(found):
        for job, finding in found:
            layers[job.layer_id] = layer = _layer(job, finding, work, keys.get(job.layer_id, ""))
            if store is not None:
                store.add(layer)
    ordered = [layers[index] for index in sorted(layers)]
    return AnalysisResult(work.label, ordered, work.skipped, settings.to_dict())


@component(
    "dl_techniques>describe_model",
    kind="analyzer",
    tags=("weights", "diagnostics"),
    since="0.1",
)
def describe_model(
    source: Any,
    *,
    include: Any = None,
    exclude: Any = None,
    base: Any = None,
    lora_scaling: float | None = None,
    **options: Any,
) -> AnalysisResult:
    """Return the rows of `analyze_model` without spectra, at no cost.

    Args:
        source: See `analyze_model`.
        include: See `analyze_model`.
        exclude: See `analyze_model`.
        base: See `analyze_model`.
        lora_scaling: See `analyze_model`.
        options: Further options of `analyze_model`.

    Returns:
        The rows, with sizes and, for matrices beyond the limits, status and reason.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weightwatcher import describe_model
        >>> result = describe_model({"conv": np.ones((3, 3, 8, 16)), "bias": np.ones(16)})
        >>> result[0]["rf"], result[0]["num_evals"], result.skipped[0].path
        (9, 72, 'bias')
    """
    settings = _settings(options)
    work = _work(source, settings, base, lora_scaling, include, exclude)
    found = run(work.jobs, settings, with_spectrum=False)
    layers = {job.layer_id: _layer(job, finding, work) for job, finding in found}
    ordered = [layers[index] for index in sorted(layers)]
    return AnalysisResult(work.label, ordered, work.skipped, settings.to_dict())


def _on_one_device(settings: Settings, n_jobs: int | None, parallel: str) -> int:
    """The number of workers, if the device can do what it is asked for."""
    from dl_techniques.weightwatcher.numerics.device import check_device

    if parallel != "threads":
        raise ValueError(
            "`device` belongs to this process and needs parallel='threads'. "
            f"Received: device={settings.device!r}, parallel={parallel!r}"
        )
    check_device(str(settings.device), settings.precision)
    return 1 if n_jobs is None else n_jobs


def _settings(options: dict[str, Any]) -> Settings:
    unknown = sorted(options.keys() - Settings.names())
    if unknown:
        raise TypeError(f"There is no option {unknown[0]!r}.")
    if options.get("compat") == "weightwatcher":
        given = {k: v for k, v in options.items() if v is not None or k == "fit"}
        options = reference_settings(given)
    return Settings(**options)


def _work(
    source: Any,
    settings: Settings,
    base: Any,
    lora_scaling: float | None,
    include: Any,
    exclude: Any,
) -> Work:
    real = isinstance(lora_scaling, int | float) and not isinstance(lora_scaling, bool)
    if lora_scaling is not None and not (real and math.isfinite(lora_scaling)):
        raise ValueError(
            f"`lora_scaling` must be a finite number. Received: lora_scaling={lora_scaling!r}"
        )
    opened = open_source(source, scaling=lora_scaling)
    if base is not None:
        opened = subtract(opened, open_source(base, scaling=lora_scaling))
    return prepare(opened, settings, include=include, exclude=exclude)


def _layer(job: Job, finding: Finding, work: Work, key: str = "") -> Layer:
    row = {
        "layer_id": job.layer_id,
        "name": job.weight.layer or job.weight.path,
        "longname": job.name,
        "layer_type": job.weight.kind,
        "path": job.weight.path,
        "alias_of": work.aliases.get(job.weight.path, []),
        **finding.row,
        "note": "; ".join(filter(None, (job.weight.note, job.part.note))),
    }
    return Layer(row, finding.evals, key)


def _key(job: Job, settings: Settings) -> str:
    """Return the key of a row: a digest of the numbers, how they are cut, and the options."""
    numbers = job.weight.values.fingerprint()
    facts = [__version__, numbers, repr(job.part), settings.to_dict(), job.layer_id]
    text = json.dumps(facts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
