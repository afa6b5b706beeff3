"""Sizes of TiRex from the shapes in a file."""

from __future__ import annotations

from typing import Any

from dl_techniques import weights as W  # noqa: N812  # as the documents have it
from dl_techniques.models.tirex.layouts import LIGHTNING, STACK
from dl_techniques.weights.readers.opening import open_weights


def config_of_file(path: Any) -> dict[str, Any]:
    """Arguments of `TiRex` that follow from a file.

    Args:
        path: The file.

    Raises:
        WeightsMismatch: If it is not one of TiRex.
    """
    file = open_weights(path)
    shapes = {name.removeprefix(LIGHTNING).removeprefix(STACK): file.shape(name) for name in file}
    try:
        hidden, tokens = shapes["input_patch_embedding.hidden_layer.weight"]
        embed_dim = shapes["input_patch_embedding.output_layer.weight"][0]
        outputs = shapes["output_patch_embedding.output_layer.weight"][0]
        heads = shapes["blocks.0.slstm_layer.slstm_cell._recurrent_kernel_"][0]
        ffn_dim = shapes["blocks.0.ffn.proj_up.weight"][0]
    except KeyError as error:
        report = W.Report("nx-ai", "", str(path), missing=[str(error.args[0])])
        raise W.WeightsMismatch(f"{path} is no file of TiRex: it lacks {error}", report) from None
    patch_size = tokens // 2
    levels = outputs // patch_size
    return {
        "patch_size": patch_size,
        "embed_dim": embed_dim,
        "num_blocks": len({name.split(".")[1] for name in shapes if name.startswith("blocks.")}),
        "num_heads": heads,
        "input_ff_dim": hidden,
        "ffn_dim": ffn_dim,
        "quantiles": tuple(round(i / (levels + 1), 9) for i in range(1, levels + 1)),
    }
