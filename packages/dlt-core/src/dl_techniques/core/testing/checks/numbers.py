"""Dtypes, large and small inputs, NaN."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject, difference, to_arrays


@check()
def mixed_policies(subject: Subject) -> None:
    """Under mixed policies outputs have the compute dtype, weights stay float32, all is finite."""
    names = ["mixed_bfloat16"]
    if keras.backend.backend() != "torch":  # PyTorch has no float16 kernels for the CPU
        names.append("mixed_float16")
    for name in names:
        with subject.policy(name) as overrides:
            instance = subject.make_symbolically(**overrides)
        outputs = subject.infer(instance, subject.arrays())
        compute = keras.dtype_policies.get(name).compute_dtype
        for output in outputs:
            dtype = keras.backend.standardize_dtype(output.dtype)
            require("float" not in dtype or dtype == compute, f"{name}: an output is {dtype}")
            finite = np.isfinite(ops.convert_to_numpy(ops.cast(output, "float32"))).all()
            require(finite, f"{name}: an output is not finite")
        for weight in instance.weights:
            narrow = weight.dtype in {"float16", "bfloat16"}
            require(not narrow, f"{name}: the weight {weight.path} is {weight.dtype}")


@check(level="may")
def float16_range(subject: Subject) -> None:
    """With inputs of scale 300 a result that fits float16 is near the one in float32."""
    if keras.backend.backend() == "torch":
        raise NotApplicable("PyTorch has no float16 kernels for the CPU")
    if len(subject.free) < len(subject.specs) or not subject.specs:
        raise NotApplicable("its inputs may not be scaled")
    arrays = {
        k: v.astype("float16").astype("float32") for k, v in subject.arrays(scale=300).items()
    }
    exact = subject.outputs(subject.built, arrays)
    largest = max(float(np.abs(array).max(initial=0)) for array in exact)
    if not np.isfinite(largest) or largest > 3e4:
        raise NotApplicable("the result does not fit float16")
    with subject.policy("mixed_float16") as overrides:
        instance = subject.make_symbolically(**overrides)
    instance.set_weights(subject.built.get_weights())
    half = to_arrays(subject.infer(instance, arrays))
    for ours, theirs in zip(half, exact, strict=True):
        error = float(np.abs(ours.astype("float32") - theirs).max(initial=0))
        bound = 0.05 * max(largest, 1.0)
        require(error <= bound, f"float16 is off by {error:.1e} of {largest:.1e}")


@check()
def extreme_inputs(subject: Subject) -> None:
    """Inputs of scale 0, 1e-6 and 1e4 give finite outputs."""
    if not subject.free:
        raise NotApplicable("its inputs may not be scaled")
    for scale in (0.0, 1e-6, 1e4):
        for array in subject.outputs(subject.built, subject.arrays(scale=scale)):
            finite = np.isfinite(array.astype("float64")).all()
            require(finite, f"inputs of scale {scale:g} give an output that is not finite")


@check(level="may")
def nan_is_not_hidden(subject: Subject) -> None:
    """A sample of NaN gives NaN in that sample's output, and in no other's."""
    subject.require_batched()
    if subject.has("hides_nan") or subject.has("couples_batch"):
        raise NotApplicable("its traits say otherwise")
    if len(subject.free) < len(subject.specs) or not subject.specs:
        raise NotApplicable("its inputs may not be NaN")
    arrays = subject.arrays()
    for array in arrays.values():
        array[0] = np.nan
    for output in subject.outputs(subject.built, arrays):
        if output.dtype.kind != "f" or not output.shape or output.shape[0] < 2:
            raise NotApplicable("its outputs do not belong to samples")
        require(np.isnan(output[0]).any(), "a sample of NaN gives a number")
        require(not np.isnan(output[1:]).any(), "a sample of NaN spoils another sample")


@check()
def dtype_policy_of_instance(subject: Subject) -> None:
    """A layer's own policy decides, whatever the global one is."""
    if subject.kind == "model":
        raise NotApplicable("the layers of a model follow the policy under which they are made")
    before = keras.config.dtype_policy()
    parts = subject.parts()  # a given part follows the policy under which it was made
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        instance = subject.create(dtype="float32", **parts)
        instance_outputs = subject.call(instance, subject.arrays())
    finally:
        keras.config.set_dtype_policy(before)
    for output in keras.tree.flatten(instance_outputs):
        dtype = keras.backend.standardize_dtype(output.dtype)
        require("bfloat16" not in dtype, "a float32 layer gives bfloat16 under a global policy")
    instance.set_weights(subject.built.get_weights())
    gap = difference(subject.outputs(instance, subject.arrays()), subject.expected)
    require(gap <= 1e-5, f"a float32 layer differs by {gap:.1e} under another global policy")
