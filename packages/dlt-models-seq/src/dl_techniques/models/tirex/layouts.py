"""Keys of the files of TiRex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from dl_techniques import weights as W  # noqa: N812  # as the documents have it
from dl_techniques.weights.rules.codes import Array, Shapes, Transform, joined

# The file names the gates otherwise than the cell uses them: its forget gate is the input gate.
SLOTS: Final = ("fgate", "igate", "zgate", "ogate")


@dataclass(frozen=True)
class Gates:
    """Four kernels (heads, out, in) to one, (heads, in, 4 out).

    Args:
        names: Of the kernels, in the order in which the cell uses them.
    """

    names: tuple[str, ...] = SLOTS

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """Four keys to one variable.

        Args:
            keys: Prefix of the keys.
            variables: The variable's path.
        """

        def forward(arrays: list[Array], shapes: Shapes) -> list[Array]:
            del shapes
            return [np.concatenate([array.transpose(0, 2, 1) for array in arrays], axis=-1)]

        def backward(arrays: list[Array]) -> list[Array]:
            parts = np.split(arrays[0], len(self.names), axis=-1)
            return [part.transpose(0, 2, 1) for part in parts]

        names = tuple(joined(keys, f"{name}.weight") for name in self.names)
        return [Transform("GATES", names, (variables,), forward, backward)]  # type: ignore[arg-type]


def rules(prefix: str, stack: str = "") -> tuple[W.Rule, ...]:
    """The rules of a file.

    Args:
        prefix: What stands before all keys.
        stack: What else stands before the keys of the blocks.
    """
    block, own = f"{prefix}{stack}blocks.{{i}}", "blocks.{i}"
    slstm = f"{block}.slstm_layer"
    names = {"hidden": "hidden", "output": "output_dense", "residual": "residual"}
    ends = (
        W.Rule(f"{prefix}{part}.{name}_layer", f"{part}.{ours}", W.LINEAR)
        for part in ("input_patch_embedding", "output_patch_embedding")
        for name, ours in names.items()
    )
    return (
        *ends,
        W.Rule(f"{block}.norm_slstm", f"{own}.norm_slstm", W.NORM),
        W.Rule(slstm, f"{own}.gates.kernel", Gates()),
        W.Rule(f"{slstm}.slstm_cell._recurrent_kernel_", f"{own}.cell.recurrent_kernel", W.COPY),
        W.Rule(f"{slstm}.slstm_cell._bias_", f"{own}.cell.bias", W.COPY),
        W.Rule(f"{slstm}.group_norm.weight", f"{own}.group_gamma", W.COPY),
        W.Rule(f"{block}.norm_ffn", f"{own}.norm_ffn", W.NORM),
        W.Rule(f"{block}.ffn.proj_up_gate", f"{own}.ffn.gate", W.LINEAR),
        W.Rule(f"{block}.ffn.proj_up", f"{own}.ffn.up", W.LINEAR),
        W.Rule(f"{block}.ffn.proj_down", f"{own}.ffn.down", W.LINEAR),
        W.Rule(f"{prefix}{stack}out_norm", "out_norm", W.NORM),
    )


LIGHTNING: Final = "state_dict."
STACK: Final = "block_stack."
TIREX: Final = W.Layout("nx-ai", rules(LIGHTNING))
"""The checkpoint of a training with Lightning, as NX-AI publishes it."""
TIREX_STACK: Final = W.Layout("nx-ai_stack", rules(LIGHTNING, STACK))
"""The same of an older version, whose blocks are one level deeper."""
TIREX_STATE: Final = W.Layout("nx-ai_state", rules(""))
"""The state dict of the model alone."""
