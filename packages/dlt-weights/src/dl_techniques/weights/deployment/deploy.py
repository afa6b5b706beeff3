"""`deploy`: the same function of a model, with less to compute."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

import keras
import numpy as np

from dl_techniques.core.contract.sublayers import children, walk
from dl_techniques.weights.deployment import backends, folding
from dl_techniques.weights.deployment.copying import NotCopied, copied, copy_weights, own_classes
from dl_techniques.weights.deployment.graph import (
    Action,
    Call,
    calls_of,
    constants_in,
    counted,
    functional,
    instead,
    rewrite,
    skip,
    unrolled,
)

_BLOCKS: Final = frozenset(
    f"dl_techniques>{name}"
    for name in (
        *("UIB", "ConvBlock", "ConvNeXtV1Block", "ConvNeXtV2Block"),
        *("VisionTransformerLayer", "TransformerLayer", "MLPBlock"),
    )
)
_TOLERANCE: Final = 1e-4
_PROBES: Final = (32, 64, 16, 8, 224)


@dataclass
class Deployment:
    """The changes that `deploy` made to a model.

    Args:
        folded: Normalizations and gains that the layers before them took in.
        joined: Attentions whose projections of one tensor became one.
        unrolled: Blocks in whose place their layers stand.
        removed: Layers that do nothing at inference.
        left: What stayed as it was, and why.
    """

    folded: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    unrolled: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def to_text(self) -> str:
        """One line for each layer."""
        return "\n".join(f"{kind}: {text}" for kind, texts in vars(self).items() for text in texts)


def deploy(model: Any, input_shape: Any = None, *, probe: Any = None) -> Any:
    """Make a model for inference: fewer layers, the same outputs.

    Batch normalizations and layer scales go into the kernels before them, the projections of an
    attention become one, and layers that act in training only go. Convolutions, dense layers and
    the blocks of dl_techniques are known; of other models, blocks without variables of their own
    are replaced by the layers that they call. Everything else stays. The result is compared with
    the model on random numbers before it is returned.

    The result is a snapshot: it keeps its weights when those of `model` change. It is frozen, and
    computes the same in training as at inference. It is saved and loaded like any other model.

    Args:
        model: A built `keras.Model`: functional, sequential, or a subclass.
        input_shape: Of a batch, such as `(None, 224, 224, 3)`; needed only for a subclass that
            does not know its own.
        probe: Inputs for the comparison, if random ones are of no use, such as token indices.

    Returns:
        A functional `keras.Model`, with an attribute `deployment` that lists what was done.

    Raises:
        ValueError: If the model is not built or cannot be copied, or if the outputs differ.

    Example:
        >>> import keras
        >>> from dl_techniques import weights
        >>> layers = keras.layers
        >>> model = keras.Sequential(
        ...     [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.BatchNormalization()]
        ... )
        >>> deployed = weights.deploy(model)
        >>> model.count_params(), deployed.count_params()
        (128, 112)
        >>> len(deployed.deployment.folded)
        1
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {type(model).__name__}")
    if not model.built:
        raise ValueError("`model` must be built. Call it once, or give it an Input.")
    inputs = _inputs(model, input_shape)
    classes = own_classes(model)
    report = Deployment()
    try:
        graph = _Passes(copied(model, classes), inputs, report).run()
        with keras.saving.custom_object_scope(classes):
            made = keras.Model.from_config(graph.get_config())
        copy_weights(graph, made)
    except NotCopied as error:
        raise ValueError(f"The model cannot be deployed: {error}") from error
    for layer in made.layers:
        # Files do not hold it of inputs.
        layer.trainable = isinstance(layer, keras.layers.InputLayer)
    _require_equal(model, made, probe)
    made.deployment = report
    return made


def _inputs(model: Any, input_shape: Any) -> Any:
    """Symbolic inputs like the model's own."""
    if input_shape is None:
        try:
            known = model.input
        except (AttributeError, ValueError):
            config = model.get_build_config() or {}
            input_shape = config.get("input_shape")
        else:
            return keras.tree.map_structure(
                lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), known
            )
    if not input_shape or not all(n is None or isinstance(n, int) for n in input_shape):
        raise ValueError(
            "`input_shape` must be the shape of a batch, as the model does not know its own. "
            f"Received: input_shape={input_shape!r}"
        )
    return keras.Input(batch_shape=(None, *input_shape[1:]))


class _Passes:
    """The passes over one graph."""

    def __init__(self, model: Any, inputs: Any, report: Deployment) -> None:
        self.model = model
        self.inputs = inputs
        self.report = report
        self.kept: set[int] = set()
        self.named: set[int] = set()
        self.names: set[str] = set()

    def run(self) -> Any:
        """Unroll, remove, join, fold."""
        self._name_apart(self.model)
        reason = _reason_to_keep(self.model, keras.tree.flatten(self.inputs), self.inputs)
        if reason is None:
            graph = functional(self.model, self.inputs)
        else:
            self.report.left.append(f"{self.model.name}: {reason}")
            graph = keras.Model(self.inputs, self.model(self.inputs), name=self.model.name)
            self.kept.add(id(self.model))
        calls = calls_of(graph)
        for step in (self._unroll, self._remove, self._join, self._fold):
            while actions := step(calls):
                graph = rewrite(graph, actions)
                calls = calls_of(graph)
        self._name_what_is_left(calls)
        self.report.left = list(dict.fromkeys(self.report.left))
        return graph

    def _unroll(self, calls: list[Call]) -> dict[int, Action]:
        actions: dict[int, Action] = {}
        for index, call in enumerate(calls):
            layer = call.operation
            if not call.is_layer or id(layer) in self.kept or not _is_worth_unrolling(layer):
                continue
            self._name_apart(layer)
            reason = "it is called with more than tensors" if not call.plain else None
            reason = reason or _reason_to_keep(layer, call.args)
            if reason is None:
                actions[index] = lambda operation, *args, **_: unrolled(operation, args)
                self.report.unrolled.append(layer.name)
            else:
                self.kept.add(id(layer))
                self.report.left.append(f"{layer.name}: {reason}")
        return actions

    def _name_apart(self, layer: Any) -> None:
        """Give the layers in a layer names that a graph can hold beside all others."""
        for _, part in children(layer):
            if id(part) in self.named:
                continue
            name = part.name if layer is self.model else f"{layer.name}_{part.name}"
            while name in self.names:
                name += "_"
            part.name = name
            self.named.add(id(part))
            self.names.add(name)

    def _remove(self, calls: list[Call]) -> dict[int, Action]:
        actions: dict[int, Action] = {}
        for index, call in enumerate(calls):
            if _does_nothing(call):
                actions[index] = skip
                if call.is_layer:
                    self.report.removed.append(call.operation.name)
        return actions

    def _fold(self, calls: list[Call]) -> dict[int, Action]:
        """Each layer takes in one map a round."""
        actions: dict[int, Action] = {}
        count = counted(calls)
        for index, call in enumerate(calls):
            affine = self._foldable(calls, index, count)
            if affine is None:
                continue
            maker = call.inputs[0]
            assert maker is not None
            before = calls[maker].operation
            if folding.identifier(before) == folding.ATTENTION:
                folding.scale_output(before, affine)
            else:
                shape = tuple(calls[maker].args[0].shape)
                actions[maker] = instead(folding.folded(before, affine, shape))
            actions[index] = skip
            self.report.folded.append(f"{call.operation.name} into {before.name}")
        return actions

    def _foldable(self, calls: list[Call], index: int, count: Any) -> folding.Affine | None:
        call = calls[index]
        if not call.is_layer or not call.plain or len(call.inputs) != 1:
            return None
        ndim = len(call.args[0].shape)
        affine = folding.affine_of(call.operation, ndim)
        if affine is None or self._reason_not_to_fold(calls, index, affine, count):
            return None
        return affine

    def _reason_not_to_fold(  # noqa: PLR0911  # one for each reason
        self, calls: list[Call], index: int, affine: folding.Affine, count: Any
    ) -> str | None:
        call = calls[index]
        maker = call.inputs[0]
        if maker is None:
            return "it stands at an input"
        before = calls[maker]
        ndim = len(call.args[0].shape)
        if before.only_consumer() != index:
            return f"{before.operation.name} is read elsewhere, too"
        if count[id(call.operation)] > 1 or count[id(before.operation)] > 1:
            return "a layer is called more than once"
        if not before.is_layer or not before.plain:
            return f"{before.operation.name} comes before it"
        if _is_mixed(before.operation) or _is_mixed(call.operation):
            return "its precision is mixed"
        if folding.identifier(before.operation) == folding.ATTENTION:
            only_gain = not np.any(affine.shift) and affine.axis == ndim - 1
            reason = folding.reason_against_scaling(before.operation)
            return reason if only_gain else "an attention comes before it"
        reason = folding.reason_against(before.operation)
        if reason is None and folding.channel_axis(before.operation, ndim) != affine.axis:
            return "it normalizes another axis"
        return reason

    def _join(self, calls: list[Call]) -> dict[int, Action]:
        actions: dict[int, Action] = {}
        count = counted(calls)
        for index, call in enumerate(calls):
            layer = call.operation
            if not call.is_layer or folding.identifier(layer) != folding.ATTENTION:
                continue
            own = len(call.args) == 1 and not {"value", "key"} & {
                key for key, value in call.kwargs.items() if value is not None
            }
            once = count[id(layer)] == 1 and not _is_mixed(layer)
            if own and once and folding.reason_against_fusing(layer) is None:
                shape = tuple(call.args[0].shape)
                actions[index] = instead(folding.fused_attention(layer, shape))
                self.report.joined.append(layer.name)
        return actions

    def _name_what_is_left(self, calls: list[Call]) -> None:
        count = counted(calls)
        for index, call in enumerate(calls):
            if not call.is_layer or not call.args:
                continue
            layer = call.operation
            affine = None
            if hasattr(call.args[0], "shape"):
                affine = folding.affine_of(layer, len(call.args[0].shape))
            if affine is not None:
                reason = "it is called in training" if not call.plain else None
                reason = reason or self._reason_not_to_fold(calls, index, affine, count)
                self.report.left.append(f"{layer.name}: {reason}")
            elif folding.identifier(layer) == folding.ATTENTION:
                reason = folding.reason_against_fusing(layer)
                if reason != "joined already":
                    self.report.left.append(f"{layer.name}: {reason or 'it attends elsewhere'}")


def _is_worth_unrolling(layer: Any) -> bool:
    """Tell whether a layer holds others that can be folded."""
    name = folding.identifier(layer)
    if name in _BLOCKS:
        return True
    builtin = type(layer).__module__.startswith("keras.") and not isinstance(layer, keras.Model)
    if builtin or name == folding.ATTENTION:
        return False
    return any(
        isinstance(part, keras.layers.BatchNormalization)
        or folding.identifier(part) in _BLOCKS | {folding.LAYER_SCALE, folding.ATTENTION}
        for path, part, _ in walk(layer)
        if path
    )


def _reason_to_keep(  # noqa: PLR0911  # one for each reason
    layer: Any, args: Any, inputs: Any = None
) -> str | None:
    """Why a block's layers cannot stand in its place; `None` if they can."""
    if any(_is_mixed(part) for _, part, _ in walk(layer)):
        return "its precision is mixed"
    if any(getattr(part, "compute_mask", None) and _makes_mask(part) for _, part, _ in walk(layer)):
        return "it makes a mask"
    inner = {id(v) for _, part in children(layer) for v in part.weights}
    if any(id(v) not in inner for v in layer.weights):
        return "it has variables of its own"
    fresh = [keras.Input(batch_shape=x.shape, dtype=x.dtype) for x in args]
    given = tuple(fresh)
    if inputs is not None:
        given = (keras.tree.pack_sequence_as(inputs, fresh),)
    try:
        graph = keras.Model(fresh, unrolled(layer, given))
        calls = calls_of(graph)
    # The code of others fails on symbolic tensors in any way.
    except Exception as error:
        return f"its code needs numbers ({type(error).__name__})"
    used = {id(v) for v in graph.weights}
    if any(id(v) not in used for v in layer.weights) or any(constants_in(c) for c in calls):
        return "it uses variables outside of layers"
    if any(type(call.operation).__name__ == "DotProductAttention" for call in calls):
        return "what it computes depends on the backend"
    return None


def _makes_mask(layer: Any) -> bool:
    return type(layer) is keras.layers.Masking or bool(getattr(layer, "mask_zero", False))


def _is_mixed(layer: Any) -> bool:
    policy = layer.dtype_policy
    return bool(policy.compute_dtype != policy.variable_dtype)


def _does_nothing(call: Call) -> bool:
    if not call.is_layer:
        # The precision that it has already.
        return (
            type(call.operation).__name__ in {"Cast", "ConvertToTensor"}
            and isinstance(call.args[0], keras.KerasTensor)
            and call.args[0].dtype == call.output.dtype
        )
    layers = keras.layers
    idle = (
        *(layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D),
        *(layers.SpatialDropout3D, layers.GaussianDropout, layers.GaussianNoise),
        *(layers.AlphaDropout, layers.ActivityRegularization, layers.Identity),
    )
    known = folding.identifier(call.operation) == "dl_techniques>StochasticDepth"
    return call.plain and (type(call.operation) in idle or known) and not _is_cast(call)


def _is_cast(call: Call) -> bool:
    """A layer also brings its input to its own precision."""
    return bool(call.args[0].dtype != call.output.dtype)


def _require_equal(model: Any, made: Any, probe: Any) -> None:
    """Compare the outputs for random inputs.

    Raises:
        ValueError: If they differ.
    """
    expected = again = given = None
    for size in _PROBES:
        given = _random(made.input, size) if probe is None else probe
        try:
            expected, again = (backends.evaluated(model, given) for _ in range(2))
            break
        # Small images are too small for some networks, in as many ways as there are networks.
        except Exception:
            if probe is not None or size == _PROBES[-1]:
                raise
    pairs = zip(
        *(_arrays(y) for y in (expected, again, backends.evaluated(made, given))), strict=True
    )
    for first, second, ours in pairs:
        limit = _TOLERANCE * (1.0 + float(np.max(np.abs(first), initial=0.0)))
        is_random = not np.array_equal(first, second, equal_nan=True)
        if not is_random and not np.allclose(ours, first, rtol=0, atol=limit, equal_nan=True):
            raise ValueError(
                "The deployed model computes something else than the model: its outputs differ by "
                f"{np.max(np.abs(ours - first)):.1e}. Its code may depend on more than its layers."
            )


def _arrays(outputs: Any) -> list[Any]:
    return [np.asarray(keras.ops.convert_to_numpy(y)) for y in keras.tree.flatten(outputs)]


def _random(inputs: Any, size: int) -> Any:
    random = np.random.default_rng(0)

    def draw(x: Any) -> Any:
        shape = [2 if axis == 0 else size for axis in range(len(x.shape))]
        shape = [new if old is None else old for old, new in zip(x.shape, shape, strict=True)]
        if x.dtype.startswith("float"):
            return random.normal(size=shape).astype(x.dtype)
        return (random.random(shape) * math.e / 2).astype(x.dtype)

    return keras.tree.map_structure(draw, inputs)
