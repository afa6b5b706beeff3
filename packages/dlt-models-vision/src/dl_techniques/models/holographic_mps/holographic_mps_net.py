"""A network of matrix product states with branches of different entropies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import keras
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Fraction,
    Model,
    NonNegativeNumber,
    PositiveNumber,
    Rejection,
    Tensor,
    TensorSpec,
    component,
    require_bound,
)
from dl_techniques.layers import MPSLayer
from dl_techniques.layers.arguments import require_integers
from dl_techniques.regularizers import EntropyRegularizer


@component(
    "dl_techniques>HolographicMPSNet",
    kind="model",
    tags=("tensor network", "vision", "classification"),
    since="0.1",
)
class HolographicMPSNet(Model):
    """Network of matrix product states: a boundary code, and branches of different entropies.

    s = sigmoid(W x + b), c = sigmoid(MPS(s)), y_k = V_k MPS_k(c) + v_k, g = softmax(G c),
    y = sum_k g_k y_k; the cores of MPS_k are pulled to the entropy e_k.

    A single target of `fit` is compared with y; the penalties of entropy come on top.

    Args:
        input_shape: Shape of a sample; more than one axis is flattened.
        output_dim: Number of outputs.
        num_sites: Sites of the first state: numbers that the inputs are encoded in.
        code_dim: Numbers of the boundary code, the sites of each branch.
        bond_dim: Bond dimension of the first state.
        branch_bond_dims: Bond dimension of each branch; `None` for `bond_dim` in all.
        branch_dim: Outputs of a branch's state.
        target_entropies: e_k, from 0 to 1, one for each branch.
        entropy_strength: Weight of the penalty of entropy.
        entropy_normalization: `"softmax"` or `"abs"`, as `EntropyRegularizer` has it. Softmax is
            nearly blind to weights of usual scales; `"abs"` is not.
        feature_map: `"linear"` or `"trig"`, as `MPSLayer` has it.
        init_std: Standard deviation of the cores around the identity.
        output_activation: Activation of y and of each y_k.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, *input_shape)`.

    Output shape:
        A dictionary: `output`, `(batch, output_dim)`; `branches`, `(batch, branches, output_dim)`.

    Raises:
        ValueError: If an argument is out of range, or the branches' numbers disagree.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.holographic_mps import HolographicMPSNet
        >>> model = HolographicMPSNet((4,), 2, num_sites=3, code_dim=3, bond_dim=2, branch_dim=2)
        >>> tuple(model(np.zeros((5, 4)))["branches"].shape)
        (5, 3, 2)

    References:
        Stoudenmire and Schwab, "Supervised Learning with Quantum-Inspired Tensor Networks",
        arXiv:1605.05775. The network itself is this project's.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "default_example": "the defaults are a network of full size, which takes minutes to check"
    }

    def __init__(
        self,
        input_shape: Sequence[int] = (28, 28, 1),
        output_dim: Count = 10,
        num_sites: Count = 32,
        code_dim: Count = 16,
        bond_dim: Count = 8,
        branch_bond_dims: Sequence[int] | None = None,
        branch_dim: Count = 16,
        target_entropies: Sequence[float] = (0.3, 0.6, 0.9),
        entropy_strength: NonNegativeNumber = 0.01,
        entropy_normalization: Literal["softmax", "abs"] = "softmax",
        feature_map: Literal["linear", "trig"] = "linear",
        init_std: PositiveNumber = 1e-3,
        output_activation: ActivationLike | None = None,
        **kwargs: Any,
    ) -> None:
        shape, bonds = _checked(input_shape, target_entropies, branch_bond_dims, bond_dim)
        settings: Any = {"feature_map": feature_map, "init_std": init_std}
        inputs = keras.Input(shape, name="inputs")
        x = keras.layers.Flatten(name="flatten")(inputs) if len(shape) > 1 else inputs
        x = keras.layers.Dense(num_sites, activation="sigmoid", name="encoder")(x)
        code = MPSLayer(code_dim, bond_dim, name="boundary", **settings)(x)
        code = keras.layers.Activation("sigmoid", name="code")(code)
        branches = []
        for k, (bond, entropy) in enumerate(zip(bonds, target_entropies, strict=True)):
            pull = EntropyRegularizer(
                entropy_strength, entropy, normalization=entropy_normalization
            )
            y = MPSLayer(branch_dim, bond, core_regularizer=pull, name=f"state{k}", **settings)(
                code
            )
            y = keras.layers.Dense(output_dim, activation=output_activation, name=f"branch{k}")(y)
            branches.append(y)
        gate = keras.layers.Dense(len(bonds), activation="softmax", name="gate")(code)
        stacked = ops.stack(branches, axis=1)
        total = ops.sum(ops.expand_dims(gate, -1) * stacked, axis=1)
        super().__init__(inputs, {"branches": stacked, "output": total}, **kwargs)
        self.output_dim = output_dim
        self.num_sites = num_sites
        self.code_dim = code_dim
        self.bond_dim = bond_dim
        self.branch_bond_dims = branch_bond_dims
        self.branch_dim = branch_dim
        self.target_entropies = tuple(target_entropies)
        self.entropy_strength = entropy_strength
        self.entropy_normalization = entropy_normalization
        self.feature_map = feature_map
        self.init_std = init_std
        self.output_activation = output_activation

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Keras's loss and the penalties; a single target is that of the output.

        Args:
            x: Inputs.
            y: Targets: of `output` alone, or a dictionary.
            y_pred: The model's answer.
            sample_weight: As in Keras.
            training: Whether the model is being trained.
        """
        compute: Any = super().compute_loss
        return compute(
            x=x,
            y=y,
            y_pred=_answer(y, y_pred),
            sample_weight=sample_weight,
            training=training,
        )

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Keras's metrics; a single target is that of the output.

        Args:
            x: Inputs.
            y: Targets: of `output` alone, or a dictionary.
            y_pred: The model's answer.
            sample_weight: As in Keras.
        """
        compute: Any = super().compute_metrics  # type: ignore[misc]  # Keras's
        return compute(x, y, _answer(y, y_pred), sample_weight=sample_weight)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Two branches on images."""
        small: dict[str, Any] = {"input_shape": (2, 2, 1), "output_dim": 2, "num_sites": 3}
        small |= {"code_dim": 3, "bond_dim": 2, "branch_bond_dims": (2, 3), "branch_dim": 2}
        small |= {"target_entropies": (0.3, 0.9), "init_std": 0.3, "entropy_normalization": "abs"}
        yield Example(cls, small, TensorSpec((2, 2, 2, 1)))

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Shapes and branches that are out of range or disagree."""
        yield Rejection(cls, {"input_shape": (None,)}, "input_shape")
        yield Rejection(cls, {"target_entropies": ()}, "target_entropies")
        yield Rejection(cls, {"target_entropies": (1.5,)}, "target_entropies")
        yield Rejection(cls, {"branch_bond_dims": (2, 2)}, "branch_bond_dims")


def _checked(
    input_shape: Sequence[int],
    entropies: Sequence[float],
    bonds: Sequence[int] | None,
    bond: int,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape of a sample, and the bond dimension of each branch."""
    shape = tuple(input_shape)
    if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise ValueError(f"`input_shape` must be known sizes. Received: input_shape={shape}")
    if not entropies:
        raise ValueError(f"`target_entropies` must not be empty. Received: {entropies}")
    for entropy in entropies:
        require_bound(Fraction, target_entropies=entropy)
    chosen = (bond,) * len(entropies) if bonds is None else tuple(bonds)
    if len(chosen) != len(entropies):
        raise ValueError(
            "`branch_bond_dims` must be as many as `target_entropies`. "
            f"Received: branch_bond_dims={bonds}, target_entropies={tuple(entropies)}"
        )
    for count in chosen:
        require_integers(branch_bond_dims=count)
    return shape, chosen


def _answer(y: Any, y_pred: Any) -> Any:
    """The part of the answer that the targets are for."""
    return y_pred if isinstance(y, Mapping) else y_pred["output"]
