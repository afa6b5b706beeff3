from __future__ import annotations

import csv
import math
import threading

import numpy as np
import pytest

keras = pytest.importorskip("keras")

from dl_techniques.weightwatcher import AlphaCallback, analyze_model  # noqa: E402  # needs Keras


def fit(callback, epochs=3, size=32, **options):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((size,)), keras.layers.Dense(size, name="d")])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(64, size)).astype("float32")
    options = {"callbacks": [callback], **options}
    history = model.fit(x, x, epochs=epochs, verbose=0, **options)
    return model, history.history


def test_alpha_stands_in_the_history_of_every_epoch():
    callback = AlphaCallback()
    model, history = fit(callback)
    assert len(history["alpha"]) == 3
    final = analyze_model(model, n_jobs=1).summary["metrics"].get("alpha", {"mean": math.nan})
    assert history["alpha"][-1] == pytest.approx(final["mean"], nan_ok=True)
    assert [step for step, _ in callback.results] == [1, 2, 3]


@pytest.mark.parametrize(("on", "steps"), [("epoch", [2]), ("batch", [2, 4, 6])])
def test_the_period_counts_epochs_or_batches(on, steps):
    callback = AlphaCallback(every=2, on=on, background=True)
    fit(callback, batch_size=32)
    assert [step for step, _ in callback.results] == steps


def test_lines_are_written_for_every_layer(tmp_path):
    path = tmp_path / "alpha.csv"
    fit(AlphaCallback(log="csv", path=str(path), layers="*kernel"))
    with path.open() as file:
        lines = list(csv.DictReader(file))
    assert [line["step"] for line in lines] == ["1", "2", "3"]
    assert float(lines[0]["stable_rank"]) > 1


def test_the_background_sees_the_weights_of_its_step():
    beside, within = AlphaCallback(background=True), AlphaCallback()
    fit(beside)
    fit(within)
    ranks = [[r[0]["stable_rank"] for _, r in c.results] for c in (beside, within)]
    assert ranks[0] == pytest.approx(ranks[1])


def test_background_failures_are_raised(monkeypatch):
    from dl_techniques.weightwatcher import alpha_callback

    def broken(*_, **__):
        raise RuntimeError("no luck")

    monkeypatch.setattr(alpha_callback, "analyze_model", broken)
    with pytest.raises(RuntimeError, match="no luck"):
        fit(AlphaCallback(background=True))


def test_the_background_works_while_the_next_epoch_trains(monkeypatch):
    """The analysis of the first epoch does not end before a batch of the second has been seen."""
    from dl_techniques.weightwatcher import alpha_callback

    analyse, trained, threads = alpha_callback.analyze_model, threading.Event(), []

    def patient(*args, **kwargs):
        threads.append(threading.current_thread())
        assert trained.wait(60), "training waits for an analysis"
        return analyse(*args, **kwargs)

    class Signal(keras.callbacks.Callback):
        batches = 0

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1
            if self.batches == 3:  # of two an epoch
                trained.set()

    monkeypatch.setattr(alpha_callback, "analyze_model", patient)
    callback = AlphaCallback(background=True)
    fit(callback, callbacks=[Signal(), callback])
    assert len(threads) == 3
    assert threading.main_thread() not in threads
