"""Typical mistakes of a first plugin: each is the generated layer with one change."""

from __future__ import annotations

from typing import NamedTuple


class Mistake(NamedTuple):
    """A change to the generated source, and what must be said first."""

    replace: tuple[tuple[str, str], ...]
    """Old and new text, each old one in the source exactly once."""
    told: tuple[str, ...]
    """Fragments of the first line that is shown."""
    causes: int = 1
    """How many causes may be told at most: a few mistakes break several promises."""
    backends: tuple[str, ...] = ()
    """Where it shows; everywhere by default."""


CALL = "        return self.gamma * ops.sigmoid(self.dense(inputs))\n"
SUPER = "        super().__init__(**kwargs)\n"
REJECTIONS = """
    @classmethod
    def rejections(cls):
        yield Rejection(cls, {"units": 0}, "units")
"""
LAST = '            cls, {"units": 2, "use_bias": False}, TensorSpec((2, 3)), name="without_bias"\n'
DENSE = '            units, use_bias=use_bias, dtype=self.dtype_policy, name="dense"\n'


def in_call(*lines: str) -> tuple[tuple[str, str], ...]:
    """A call with other lines."""
    return ((CALL, "".join(f"        {line}\n" for line in lines)),)


MISTAKES: dict[str, Mistake] = {
    "sub-layer without dtype": Mistake(
        ((DENSE, '            units, use_bias=use_bias, name="dense"\n'),),
        ("`dense`", "dtype=self.dtype_policy"),
    ),
    "branch on a tensor": Mistake(
        in_call(
            "if ops.max(inputs) > 100.0:",
            "    inputs = inputs / 100.0",
            "return self.gamma * ops.sigmoid(self.dense(inputs))",
        ),
        (
            "`Gate.call` branches on a tensor",
            "ops.where",
            "ops.cond",
            "gate.py:",
            "if ops.max(inputs)",
        ),
    ),
    "numpy on a tensor": Mistake(
        (
            ("import keras\n", "import keras\nimport numpy as np\n"),
            *in_call("return self.gamma / (1 + np.exp(-self.dense(inputs)))"),
        ),
        ("`Gate.call` gives a tensor to NumPy", "keras.ops", "gate.py:", "np.exp"),
    ),
    "python number of a tensor": Mistake(
        in_call("return self.gamma * ops.sigmoid(self.dense(inputs) / float(ops.max(inputs)))"),
        ("`Gate.call` turns a tensor into a Python number", "gate.py:", "float("),
        causes=3,
    ),
    "renamed attribute": Mistake(
        (("        self.use_bias = use_bias\n", "        self._use_bias = use_bias\n"),),
        ("must store", "`use_bias`"),
    ),
    "misspelt attribute": Mistake(
        in_call("return self.gama * ops.sigmoid(self.dense(inputs))"),
        ("`Gate.call` raises AttributeError", "gama", "gate.py:"),
    ),
    "no super": Mistake(((SUPER, ""),), ("`super().__init__(**kwargs)`", "first")),
    "kwargs not passed on": Mistake(
        ((SUPER, "        super().__init__()\n"),), ("`**kwargs`", "super().__init__")
    ),
    "wrong output shape": Mistake(
        (("        return (*input_shape[:-1], self.units)\n", "        return input_shape\n"),),
        ("compute_output_shape", "(2, 5, 3)", "(2, 5, 4)"),
        causes=2,
    ),
    "fixed batch": Mistake(
        in_call(
            "inputs = ops.reshape(inputs, (2, -1, 3))",
            "return self.gamma * ops.sigmoid(self.dense(inputs))",
        ),
        ("reshape", "gate.py:"),
        causes=3,
    ),
    "weight made in call": Mistake(
        in_call(
            'delta = self.add_weight(name="delta", shape=(self.units,), initializer="ones")',
            "return self.gamma * ops.sigmoid(self.dense(inputs)) + delta",
        ),
        ("`Gate.call` creates", "build", "gate.py:"),
    ),
    "sub-layer made in call": Mistake(
        in_call(
            "hidden = keras.layers.Dense(self.units, dtype=self.dtype_policy)(inputs)",
            "return self.gamma * ops.sigmoid(hidden)",
        ),
        ("`Gate.call` creates", "build", "gate.py:"),
    ),
    "unused weight": Mistake(
        in_call("return ops.sigmoid(self.dense(inputs))"), ("gamma", "gradient")
    ),
    "random at inference": Mistake(
        in_call(
            "noise = keras.random.normal(ops.shape(inputs), dtype=self.compute_dtype)",
            "return self.gamma * ops.sigmoid(self.dense(inputs + noise))",
        ),
        ("`Gate.call` draws random numbers", "SeedGenerator", "gate.py:"),
    ),
    "hard-coded dtype": Mistake(
        in_call(
            'return ops.cast(self.gamma, "float32") * ops.sigmoid('
            'ops.cast(self.dense(inputs), "float32"))'
        ),
        ("mixed_bfloat16", "float32"),
    ),
    "backend import": Mistake(
        (
            ("import keras\n", "import jax.numpy as jnp\nimport keras\n"),
            *in_call("return self.gamma * jnp.tanh(self.dense(inputs))"),
        ),
        ("imports the backend jax",),
    ),
    "value not refused": Mistake(
        (
            ("import Count, Example, Layer, Shape", "import Example, Layer, Rejection, Shape"),
            ("units: Count", "units: int"),
            (SUPER, f"{SUPER}        units = max(units, 1)\n"),
            (
                f"{LAST}        )\n",
                f"{LAST}        )\n{REJECTIONS}",
            ),
        ),
        ("units", "0"),
    ),
    "prints": Mistake(
        in_call("print(inputs.shape)", "return self.gamma * ops.sigmoid(self.dense(inputs))"),
        ("prints",),
    ),
    "keeps tensors": Mistake(
        (
            (SUPER, f"{SUPER}        self.seen = []\n"),
            *in_call(
                "self.seen.append(inputs)",
                "return self.gamma * ops.sigmoid(self.dense(inputs))",
            ),
        ),
        ("keeps",),
    ),
}
