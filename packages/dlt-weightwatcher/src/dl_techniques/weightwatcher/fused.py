"""Query, key and value in one matrix: in which order they stand, and where each is.

Some models store all queries, then all keys, then all values; others store the three of one head
after another. Both give matrices of the same shape, so that the order follows from the names that
an architecture uses, or from its configuration, or is not known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from dl_techniques.weightwatcher.parts import Part, Step, make_part

_FUSED: Final = re.compile(
    r"(^|[._])(in_proj_weight|\w*qkv\w*|c_attn|query_key_value|W_pack)([._]|$)|attn[._]in_proj",
    re.IGNORECASE,
)
# All queries, all keys, all values: GPT-2, torch.nn.MultiheadAttention, timm's ViT and Swin,
# Baichuan, and Phi-3; MPT, ModernBERT and the models of flash-attn.
_JOINED: Final = re.compile(
    r"(^|[._])(in_proj_weight|c_attn|to_qkv|Wqkv|W_pack)([._]weight)?$"
    r"|(^|[._])(self_attn|attn)[._]in_proj[._]weight$"
    r"|(^|[._])blocks[._]\d+[._]attn[._]qkv([._]weight)?$"
    r"|(^|[._])self_attn[._]qkv_proj([._]weight)?$"
)
# Of the models whose blocks stand in stages some have one order, some the other.
_STAGES: Final = re.compile(r"(^|[._])stages?[._]\d")
_BY_HEAD: Final = frozenset({"gpt_neox", "gpt_neox_japanese", "bloom", "persimmon", "chatglm"})
_GROUPED: Final = frozenset({"internlm2"})
_PARTITIONS: Final = 4  # of CodeGen, each with queries, values and keys
UNKNOWN: Final = "query, key and value in an unknown order"


class _Cut(NamedTuple):
    """The arrangement of the outputs: `shape`, and the range along `axis` that each name has."""

    shape: tuple[int, ...]
    axis: int
    ranges: dict[str, tuple[int, int]]


def fused_parts(
    path: str, shape: tuple[int, int], architecture: Mapping[str, Any], keras: bool
) -> list[Part] | None:
    """Split a matrix of fused projections, or say that its order is not known.

    Args:
        path: The name of the weight.
        shape: Its two axes.
        architecture: Facts from the model's configuration; see `architecture_of`.
        keras: Whether the names are those of Keras layers, which promise no order.

    Returns:
        The parts; one without a label where nothing tells the order; `None` if the matrix is no
        fusion of three.
    """
    name = path.replace("/", ".")
    if not _FUSED.search(name):
        return None
    rows, columns = shape
    axis = 0 if rows > columns else 1
    layout = _layout(name, shape[axis], shape[1 - axis], architecture, keras)
    cut = None if layout is None else layout(shape[axis])
    if cut is not None:
        return [_part(label, shape, axis, cut) for label in cut.ranges]
    if max(shape) != 3 * min(shape):
        return None
    return [make_part("", (("reshape", (1, rows, columns)),), 1, rows, columns, UNKNOWN)]


def _layout(  # noqa: PLR0911  # one for each order
    name: str, size: int, inputs: int, architecture: Mapping[str, Any], keras: bool
) -> Callable[[int], _Cut | None] | None:
    """The order of the outputs, from the architecture or the names."""
    model = architecture.get("model_type", "")
    heads = architecture.get("heads", 0)
    groups = architecture.get("kv_heads", heads)
    width = architecture.get("head_dim") or (inputs // heads if heads else 0)
    shared = architecture.get("multi_query", model == "gpt_bigcode")
    named = _JOINED.search(name) and not _STAGES.search(name) and not keras
    if model == "falcon" and architecture.get("new_decoder_architecture"):
        return _Heads(heads, groups, width).grouped
    if model == "falcon" or (model == "gpt_bigcode" and "c_attn" in name):
        return _Heads(heads, 1, width).joined if shared else _Heads(heads, heads, width).grouped
    if model == "chatglm" and architecture.get("multi_query_attention"):
        return _Heads(heads, groups, width).joined
    if model == "codegen":
        return _partitioned
    if model in _BY_HEAD:
        return _Heads(heads, heads, width).grouped
    if model in _GROUPED:
        return _Heads(heads, groups, width).grouped
    if named and heads and size == (heads + 2 * groups) * width:
        return _Heads(heads, groups, width).joined
    return _Heads(1, 1, inputs).joined if named else None


class _Heads(NamedTuple):
    """Heads of queries, heads of keys and of values, and the outputs of each."""

    heads: int
    groups: int
    width: int

    def joined(self, size: int) -> _Cut | None:
        """All queries, all keys, all values."""
        q, kv = self.heads * self.width, self.groups * self.width
        ranges = {"q": (0, q), "k": (q, q + kv), "v": (q + kv, q + 2 * kv)}
        return _Cut((size,), 0, ranges) if size == q + 2 * kv > 0 else None

    def grouped(self, size: int) -> _Cut | None:
        """The queries that share a key and a value, and these two, of each group."""
        if not self.groups or self.heads % self.groups:
            return None
        n = self.heads // self.groups
        if size != self.groups * (n + 2) * self.width or not size:
            return None
        ranges = {"q": (0, n), "k": (n, n + 1), "v": (n + 1, n + 2)}
        return _Cut((self.groups, n + 2, self.width), 1, ranges)


def _partitioned(size: int) -> _Cut | None:
    """Queries, values and keys of each partition."""
    if size % (3 * _PARTITIONS):
        return None
    ranges = {"q": (0, 1), "k": (2, 3), "v": (1, 2)}
    return _Cut((_PARTITIONS, 3, size // (3 * _PARTITIONS)), 1, ranges)


def _part(label: str, shape: tuple[int, int], axis: int, cut: _Cut) -> Part:
    first, last = cut.ranges[label]
    size = shape[axis] // cut.shape[cut.axis] * (last - first)
    own = (size, shape[1]) if axis == 0 else (shape[0], size)
    arranged = (*cut.shape, shape[1]) if axis == 0 else (shape[0], *cut.shape)
    steps: list[Step] = [] if arranged == shape else [("reshape", arranged)]
    steps += [("slice", axis + cut.axis, first, last), ("reshape", (1, *own))]
    return make_part(f"[{label}]", tuple(steps), 1, *own)
