"""Keys of the files of SCUNet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from dl_techniques import weights as W  # noqa: N812  # as the documents have it
from dl_techniques.weights.rules.codes import Transform

_THREE: Final = ("query_projection", "key_projection", "value_projection")


class _Table:
    """Relative positions (heads, 2 w - 1, 2 w - 1) to rows of displacements."""

    def __repr__(self) -> str:
        return "Table()"

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """One key to one variable.

        Args:
            keys: The key.
            variables: The variable's path.
        """
        return [
            Transform(
                "TABLE",
                (keys,),
                (variables,),
                lambda arrays, shapes: [arrays[0].reshape(arrays[0].shape[0], -1).T],  # noqa: ARG005  # the codes' signature
                lambda arrays: [
                    arrays[0].T.reshape(arrays[0].shape[1], *[math.isqrt(len(arrays[0]))] * 2)
                ],
            )
        ]


def _part(keys: str, variables: str) -> Iterator[W.Rule]:
    """The rules of one stage: its blocks, and the convolution that changes the size."""
    swin, own = f"{keys}.trans_block", f"{variables}.transformer"
    yield W.Rule(f"{keys}.conv1_1", f"{variables}.mix_in", W.CONV)
    yield W.Rule(f"{keys}.conv1_2", f"{variables}.mix_out", W.CONV)
    yield W.Rule(f"{keys}.conv_block.0", f"{variables}.conv1", W.CONV)
    yield W.Rule(f"{keys}.conv_block.2", f"{variables}.conv2", W.CONV)
    yield W.Rule(f"{swin}.ln1", f"{own}.norm1", W.NORM)
    yield W.Rule(f"{swin}.ln2", f"{own}.norm2", W.NORM)
    yield W.Rule(f"{swin}.msa.embedding_layer", f"{own}.attention", W.SplitThree(_THREE))
    yield W.Rule(f"{swin}.msa.linear", f"{own}.attention.output_projection", W.LINEAR)
    table = f"{own}.attention.relative_position_bias_table"
    yield W.Rule(f"{swin}.msa.relative_position_params", table, _Table())
    yield W.Rule(f"{swin}.mlp.0", f"{own}.ffn_layer.hidden", W.LINEAR)
    yield W.Rule(f"{swin}.mlp.2", f"{own}.ffn_layer.output_dense", W.LINEAR)


KAIR: Final = W.Layout(
    "kair",
    (
        W.Rule("m_head.0", "first", W.CONV),
        *_part("m_down{i}.{j}", "down{i}_{j}"),
        *_part("m_body.{j}", "body_{j}"),
        *_part("m_up{i}.{j}", "up{i}_{j}"),
        W.Rule("m_down{i}.{j}", "down{i}_{j}", W.CONV),
        W.Rule("m_up{i}.{j}", "up{i}_{j}", W.TRANSPOSED_CONV),
        W.Rule("m_tail.0", "last", W.CONV),
    ),
)
"""The releases of cszn/SCUNet and cszn/KAIR, which spandrel reads too."""
