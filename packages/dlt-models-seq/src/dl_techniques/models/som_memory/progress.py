"""Progress bar of a training."""

from __future__ import annotations

from typing import Any

import keras
from tqdm import tqdm


class Progress(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Shows a bar of the epochs and collects their losses.

    Args:
        epochs: Number of epochs.
        disable: Whether to hide the bar.
    """

    def __init__(self, epochs: int, disable: bool = False) -> None:
        super().__init__()
        self.epochs = epochs
        self.disable = disable
        self.losses: list[float] = []

    def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002  # Keras's signature
        """Open the bar.

        Args:
            logs: Not used.
        """
        self.bar = tqdm(total=self.epochs, desc="training", unit="epoch", disable=self.disable)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        """Advance the bar.

        Args:
            epoch: Not used.
            logs: The epoch's loss.
        """
        self.losses.append(float((logs or {})["loss"]))
        self.bar.update()

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
        """Close the bar.

        Args:
            logs: Not used.
        """
        self.bar.close()
