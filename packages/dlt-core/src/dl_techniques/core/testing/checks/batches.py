"""Independence of the samples of a batch."""

from __future__ import annotations

import numpy as np

from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject, difference, to_arrays


@check()
def batch_independence(subject: Subject) -> None:
    """A sample alone gives what it gives in a batch; reordering samples reorders outputs."""
    subject.require_batched()
    if subject.has("couples_batch"):
        raise NotApplicable("it couples the samples of a batch, as its trait says")
    arrays = subject.arrays()
    size = {spec.shape[0] for spec in subject.specs.values()}
    if len(size) != 1 or any(array.shape[:1] != (max(size),) for array in subject.expected):
        raise NotApplicable("inputs and outputs do not share their first axis")
    order = np.arange(max(size))[::-1]
    reordered = subject.outputs(subject.built, {k: v[order] for k, v in arrays.items()})
    gap = difference(reordered, [array[order] for array in subject.expected])
    require(gap <= 1e-5, f"reordering the samples changes their outputs by {gap:.1e}")
    alone = to_arrays(subject.infer(subject.built, {key: v[:1] for key, v in arrays.items()}))
    gap = difference(alone, [array[:1] for array in subject.expected])
    require(gap <= 1e-5, f"a sample alone differs by {gap:.1e} from itself in a batch")
