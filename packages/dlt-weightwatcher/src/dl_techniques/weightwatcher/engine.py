"""Running an analysis: what to do, in which order, on how many workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

import numpy as np

from dl_techniques.weightwatcher.lazy import lazy_stack
from dl_techniques.weightwatcher.matrices import plan, stack_of
from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.threads import single_threaded
from dl_techniques.weightwatcher.pairing import common_shape, partners
from dl_techniques.weightwatcher.parts import Part
from dl_techniques.weightwatcher.readers.computed import Difference, Leading, LowRank
from dl_techniques.weightwatcher.readers.weight import Skipped, Source, SourceError, Weight
from dl_techniques.weightwatcher.row import Finding, analyse, describe, unfit
from dl_techniques.weightwatcher.selection import chooser
from dl_techniques.weightwatcher.settings import Settings
from dl_techniques.weightwatcher.ties import Ties

Progress = Callable[[int, int, str], None]

FAILED: Final = "failed"


class Job(NamedTuple):
    """One row to be made."""

    layer_id: int
    name: str
    weight: Weight
    part: Part

    @property
    def cost(self) -> float:
        """Operations, roughly: the Gram matrix and its eigenvalues."""
        M = self.part.M
        return self.part.slices * M * M * (self.part.N + 1.5 * M)


@dataclass
class Work:
    """The jobs of one model and what is left out."""

    label: str
    jobs: list[Job]
    skipped: list[Skipped]
    aliases: dict[str, list[str]] = field(default_factory=dict)


def prepare(
    source: Source, settings: Settings, *, include: Any = None, exclude: Any = None
) -> Work:
    """Turn a model's weights into jobs, and account for all that is not analysed.

    Args:
        source: The weights.
        settings: The options.
        include: Which weights to analyse; by default all.
        exclude: Which of these to leave out.
    """
    wanted = None if include is None else chooser(include, "include")
    unwanted = None if exclude is None else chooser(exclude, "exclude")
    skipped = list(source.skipped)
    chosen: list[Weight] = []
    for weight in source.weights:
        if (wanted and not wanted(weight)) or (unwanted and unwanted(weight)):
            skipped.append(_skip(weight, "left out by `include` or `exclude`"))
        else:
            chosen.append(weight)
    ties = Ties(chosen)
    jobs: list[Job] = []
    for weight in ties.kept:
        parts = plan(weight, settings)
        if isinstance(parts, str):
            skipped.append(_skip(weight, parts))
            continue
        for part in _of_known_rank(weight, parts):
            jobs.append(Job(len(jobs), f"{weight.path}{part.suffix}", weight, part))
    return Work(source.label, jobs, [*skipped, *ties.skipped], ties.aliases)


def _of_known_rank(weight: Weight, parts: list[Part]) -> list[Part]:
    """An update of rank r has r eigenvalues; the others are zero, and were only rounding."""
    values = weight.values
    if not isinstance(values, LowRank) or values.base is not None:
        return parts
    # Flattened kernels mix taps, but each of their columns is still in the span of r vectors.
    return [p._replace(rank=values.rank) if values.rank < p.M else p for p in parts]


def subtract(source: Source, base: Source) -> Source:
    """The change of each weight from a base model's weight of the same name, wrappers apart.

    Args:
        source: The model.
        base: The model that it came from.

    Raises:
        SourceError: If no weight has a counterpart.
    """
    of_base = {weight.path: weight for weight in base.weights}
    found = partners((weight.path for weight in source.weights), of_base)
    weights: list[Weight] = []
    skipped = list(source.skipped)
    for weight in source.weights:
        partner = of_base.get(found.get(weight.path, ""))
        if partner is None:
            skipped.append(_skip(weight, "the base model has no weight of this name"))
            continue
        values, other, note = weight.values, partner.values, weight.note
        if other.shape != values.shape:
            shape = common_shape(weight.path, values.shape, other.shape)
            if shape is None:
                reason = f"the base model's weight has the shape {other.shape}"
                skipped.append(_skip(weight, reason))
                continue
            note = f"what both have of {values.shape} and {other.shape}"
            values, other = Leading(values, shape), Leading(other, shape)
        weights.append(replace(weight, values=Difference(values, other), note=note))
    if not weights:
        raise SourceError(f"{source.label} and {base.label} have no weight in common.")
    return Source(f"{source.label} - {base.label}", weights, skipped)


def run(
    jobs: Sequence[Job],
    settings: Settings,
    *,
    n_jobs: int | None = None,
    parallel: str = "threads",
    progress: bool | Progress | None = None,
    with_spectrum: bool = True,
) -> Generator[tuple[Job, Finding], None, None]:
    """Carry out jobs, the most expensive first; results come as they are finished.

    Args:
        jobs: The jobs.
        settings: The options.
        n_jobs: Workers; by default one for each processor.
        parallel: `threads`, `loky`, `dask`, `ray` or another backend of joblib.
        progress: True for a bar on standard error, or a function of (done, total, name).
        with_spectrum: False leaves out all that reads the weights.
    """
    if not isinstance(parallel, str):
        raise ValueError(
            f"`parallel` must be the name of a backend. Received: parallel={parallel!r}"
        )
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise ValueError(
            f"`progress` must be True, False or a function. Received: progress={progress!r}"
        )
    ordered = sorted(jobs, key=lambda job: (-job.cost, job.layer_id))
    workers = _workers(n_jobs, len(ordered))
    report = _Reporter(progress, len(ordered))
    try:
        # Closed at once when interrupted, not when the traceback is let go: workers end with it.
        with closing(_results(ordered, settings, workers, parallel, with_spectrum)) as results:
            for done, (index, finding) in enumerate(results, 1):
                job = ordered[index]
                report(done, len(ordered), job.name)
                yield job, finding
    finally:
        report.close()


def _results(
    jobs: Sequence[Job], settings: Settings, workers: int, parallel: str, with_spectrum: bool
) -> Generator[tuple[int, Finding], None, None]:
    if not with_spectrum:
        yield from ((i, _described(job, settings)) for i, job in enumerate(jobs))
        return
    if parallel == "threads":
        yield from _threads(jobs, settings, workers)
        return
    import joblib

    try:
        # `parallel_config` knows backends that `Parallel` itself does not until they are loaded.
        with joblib.parallel_config(parallel, n_jobs=workers):
            pool = joblib.Parallel(
                return_as="generator_unordered",
                batch_size=1,
                pre_dispatch="all" if parallel == "dask" else "2*n_jobs",
            )
    except (ValueError, ImportError) as error:
        raise ValueError(f"`parallel` is no usable backend of joblib: {error}") from error
    yield from pool(joblib.delayed(_one)(i, job, settings) for i, job in enumerate(jobs))


def _threads(
    jobs: Sequence[Job], settings: Settings, workers: int
) -> Iterator[tuple[int, Finding]]:
    """Threads without joblib, whose import takes as long as the analysis of a small model."""
    if workers == 1:
        yield from (_one(i, job, settings) for i, job in enumerate(jobs))
        return
    with ThreadPoolExecutor(workers, "analysis") as pool:
        futures = [pool.submit(_one, i, job, settings) for i, job in enumerate(jobs)]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def _one(index: int, job: Job, settings: Settings) -> tuple[int, Finding]:
    """One job with one BLAS thread: the bits do not depend on how many workers there are."""
    with single_threaded():
        return index, perform(job, settings)


def perform(job: Job, settings: Settings) -> Finding:
    """Carry out one job.

    Args:
        job: The job.
        settings: The options.
    """
    values = job.weight.values
    head = describe(job.part, values.dtype)
    limit = unfit(job.part, settings)
    if limit is not None:
        status, reason = limit
        return Finding({**head, "status": status, "reason": reason}, np.empty(0))
    try:
        lazy = lazy_stack(values, job.part)
        stack = stack_of(values.read(), job.part) if lazy is None else lazy
        row, evals = analyse(stack, job.part, settings, job.name)
    # One bad layer must not lose the others, whatever is wrong with it.
    except Exception as error:
        if settings.on_error == "raise":
            raise
        reason = f"{type(error).__name__}: {error}"
        return Finding({**head, "status": FAILED, "reason": reason}, np.empty(0))
    if settings.on_error == "raise" and row["status"] == "nonfinite":
        raise ValueError(f"{job.name} holds {row['reason']}.")
    return Finding({**head, **row}, evals)


def _described(job: Job, settings: Settings) -> Finding:
    head = describe(job.part, job.weight.values.dtype)
    status, reason = unfit(job.part, settings) or ("", "")
    return Finding({**head, "status": status, "reason": reason}, _NOTHING)


_NOTHING: Final[Array] = np.empty(0)


def _workers(n_jobs: int | None, jobs: int) -> int:
    if n_jobs is not None and (type(n_jobs) is not int or n_jobs == 0):
        raise ValueError(
            f"`n_jobs` must be a number of workers other than 0, or None. "
            f"Received: n_jobs={n_jobs!r}"
        )
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if n_jobs is None:
        return max(1, min(available or 1, jobs))
    return n_jobs if n_jobs > 0 else max(1, (available or 1) + 1 + n_jobs)


class _Reporter:
    """A bar, a function of the caller's, or nothing."""

    def __init__(self, progress: bool | Progress | None, total: int) -> None:
        self._function = progress if callable(progress) else None
        self._bar: Any = None
        if progress and self._function is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="matrix", file=sys.stderr, dynamic_ncols=True)

    def __call__(self, done: int, total: int, name: str) -> None:
        if self._function is not None:
            self._function(done, total, name)
        if self._bar is not None:
            self._bar.set_postfix_str(name[-40:], refresh=False)
            self._bar.update()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _skip(weight: Weight, reason: str) -> Skipped:
    return Skipped(weight.path, weight.values.shape, weight.values.dtype, reason)
