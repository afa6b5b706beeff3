"""Learn a rule with a network of logic gates, and read it from the weights.

Six fuzzy AND gates and an OR gate see the eight rows of a truth table of x, y and z whose target
is x XOR y. Each gate learns whether an input counts as it is, negated, or not at all. After
training every gate is read as a conjunction, the disjunction is simplified, and the rule must
equal the target on every row.

Run it with `KERAS_BACKEND=jax|torch|tensorflow python examples/logic_gates.py [--output DIR]`.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops
from tqdm import tqdm

from dl_techniques.layers import FuzzyANDGateLayer, FuzzyORGateLayer

NAMES = ("x", "y", "z")
GATES = 6
EPOCHS = 600
SEED = 1

Term = frozenset[tuple[str, bool]]
"""A conjunction: names of inputs, and whether each counts as it is."""


def truth_table() -> tuple[Any, Any]:
    """All rows of x, y and z, and x XOR y."""
    rows = np.array(list(itertools.product((0, 1), repeat=len(NAMES))), "float32")
    return rows, (rows[:, 0] != rows[:, 1]).astype("float32")


def make_model() -> tuple[keras.Model, list[Any]]:
    """An OR of AND gates, and these gates."""
    inputs = keras.Input((len(NAMES),))
    normal = [keras.initializers.RandomNormal(stddev=1.0, seed=SEED + i) for i in range(2 * GATES)]
    gates = [
        FuzzyANDGateLayer(
            "product",
            apply_sigmoid=True,
            temperature=4.0,
            weight_initializer=normal[2 * i],
            bias_initializer=normal[2 * i + 1],
            name=f"and_{i}",
        )
        for i in range(GATES)
    ]
    either = FuzzyORGateLayer("product", trainable_weights_per_input=False, use_bias=False)
    return keras.Model(inputs, either([gate(inputs) for gate in gates])), gates


class Progress(keras.callbacks.Callback):
    """A progress bar of epochs with the loss."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the bar."""
        del logs
        self.bar = tqdm(total=EPOCHS, desc="epochs")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Advance it."""
        self.bar.set_postfix(loss=f"{logs['loss']:.4f}", refresh=False)
        self.bar.update()

    def on_train_end(self, logs: Any = None) -> None:
        """Close it."""
        self.bar.close()


def read_gate(gate: Any) -> Term | None:
    """The conjunction that a gate has learned; `None` for one that is never true."""
    corners = np.array([[0.0] * len(NAMES), [1.0] * len(NAMES)], "float32")
    at_false, at_true = ops.convert_to_numpy(gate.truths(ops.convert_to_tensor(corners))) > 0.5
    if np.any(~at_false & ~at_true):
        return None
    decides = at_false != at_true  # an input that is true either way does not count
    return frozenset((name, bool(at_true[i])) for i, name in enumerate(NAMES) if decides[i])


def simplify(terms: set[Term]) -> set[Term]:
    """Merge terms that differ in one sign, and drop those that another one covers."""
    merged = True
    while merged:
        merged = False
        for a, b in itertools.combinations(terms, 2):
            rest = a & b
            same_names = {name for name, _ in a} == {name for name, _ in b}
            if same_names and len(a) == len(rest) + 1 and rest not in terms:
                terms, merged = terms | {rest}, True
                break
    return {term for term in terms if not any(other < term for other in terms)}


def text_of(terms: set[Term]) -> str:
    """The rule in words."""
    conjunctions = sorted(
        " AND ".join(name if plain else f"NOT {name}" for name, plain in sorted(term))
        for term in terms
    )
    return " OR ".join(f"({text})" for text in conjunctions)


def evaluate(terms: set[Term], row: Any) -> bool:
    """Return the rule's answer for one row."""
    values = dict(zip(NAMES, row, strict=True))
    return any(all(bool(values[name]) == plain for name, plain in term) for term in terms)


def surface(model: keras.Model) -> Any:
    """The output over the square of x and y, at z = 1/2."""
    side = np.linspace(0, 1, 41, dtype="float32")
    x, y = np.meshgrid(side, side)
    points = np.stack([x.ravel(), y.ravel(), np.full(x.size, 0.5, "float32")], axis=-1)
    return model.predict(points, batch_size=len(points), verbose=0).reshape(x.shape)


def draw(before: Any, after: Any, losses: list[float], rule: str, path: Path) -> None:
    """The truth over the square before and after training, and the loss."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for axis, values, title in zip(axes, (before, after), ("before", "after"), strict=False):
        image = axis.imshow(values, origin="lower", extent=(0, 1, 0, 1), vmin=0, vmax=1)
        axis.set(title=f"{title} training, z = 1/2", xlabel="x", ylabel="y")
    figure.colorbar(image, ax=axes[1], label="truth of the output")
    axes[2].semilogy(losses)
    axes[2].set(title="cross-entropy", xlabel="epoch")
    figure.suptitle(rule)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Train, read, check, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(), help="where the picture goes")
    output = parser.parse_args().output
    keras.utils.set_random_seed(SEED)
    started = time.perf_counter()
    rows, target = truth_table()
    model, gates = make_model()
    before = surface(model)
    model.compile(keras.optimizers.Adam(0.05), keras.losses.BinaryCrossentropy())
    fitting = {"batch_size": len(rows), "epochs": EPOCHS, "callbacks": [Progress()]}
    history = model.fit(rows, target[:, None], verbose=0, **fitting)
    learned = {term for term in map(read_gate, gates) if term is not None}
    terms = simplify(learned)
    rule = text_of(terms)
    predictions = model.predict(rows, verbose=0)
    agree = [evaluate(terms, row) == bool(t) for row, t in zip(rows, target, strict=True)]
    output.mkdir(parents=True, exist_ok=True)
    draw(before, surface(model), history.history["loss"], rule, output / "logic_gates.png")
    print(f"loss          {history.history['loss'][0]:.3f} -> {history.history['loss'][-1]:.5f}")
    print(f"worst row     off by {np.abs(predictions.ravel() - target).max():.4f}")
    print(f"gates         {len(learned)} different conjunctions of {GATES} gates")
    print(f"rule          {rule}")
    print(f"rows          {sum(agree)} of {len(rows)} agree with x XOR y")
    print(f"seconds       {time.perf_counter() - started:.1f} ({keras.backend.backend()})")
    if not all(agree):
        raise SystemExit("the rule is not x XOR y")


if __name__ == "__main__":
    main()
