"""The base of vision models."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import keras
import numpy as np

from dl_techniques.core import Model, Tensor, declaration_of
from dl_techniques.weights import (
    Preprocess,
    Preprocessor,
    Report,
    WeightEntry,
    WeightsMismatch,
    fetch,
    load,
)
from dl_techniques.weights.catalog import find_weights, layouts_of, load_layout
from dl_techniques.weights.readers.opening import open_weights
from dl_techniques.weights.rules.layout import filled
from dl_techniques.weights.rules.load import infer_layout

HEAD: Final = ("head.kernel", "head.bias")
"""The variables of the classifier."""
IMAGENET: Final[Mapping[str, Any]] = {"size": 224, "crop_pct": 0.875}
"""The preprocessing of most networks: the mean and deviation are those of ImageNet."""


@dataclass(frozen=True)
class WeightsInfo:
    """The source of a model's weights.

    Args:
        source: The file, or the name of the row.
        entry: The row, if the weights are listed.
        report: What became of each tensor of the file.
    """

    source: str
    entry: WeightEntry | None
    report: Report


class VisionModel(Model):
    """Base of functional-style vision models with named stages and a classifier named `head`.

    The constructor of a subclass makes a graph, passes its ends to this class's constructor,
    stores its own parameters, and calls `finish`.

    Attributes:
        settings: Variant -> its settings.
        preprocessing: Arguments of `Preprocess` that the networks are trained with by default.
        block: Pattern of the names of the blocks that a variant is known by.
        width_path: Path of the variable whose size is the width that a variant is known by.
        top_layers: Names of the layers that a model without its classifier may lack; what a file
            has for them is left out then.
        weights_info: Where the weights come from; `None` for random ones.
    """

    transient = frozenset({"weights", "accept_license"})
    expected_failures: ClassVar[Mapping[str, str]] = {
        "default_example": "the defaults are a network of full size, which takes minutes to check"
    }
    settings: ClassVar[Mapping[str, Any]] = {}
    preprocessing: ClassVar[Mapping[str, Any]] = IMAGENET
    block: ClassVar[str] = r"(stage\d+_)?block\d+"
    width_path: ClassVar[str] = "norm.gamma"
    top_layers: ClassVar[tuple[str, ...]] = ("head",)

    variant: str
    include_top: bool
    preprocess: Mapping[str, Any] | None
    weights_info: WeightsInfo | None

    # Variants and weights

    @classmethod
    def identifier(cls) -> str:
        """The identifier of the component, also of a subclass without a declaration."""
        declarations = (declaration_of(base) for base in cls.__mro__)
        return next((d.id for d in declarations if d is not None), cls.__name__)

    @classmethod
    def settings_of(cls, variant: str) -> Any:
        """The settings of a variant.

        Args:
            variant: Its name.

        Raises:
            ValueError: If there is none of this name.
        """
        if variant not in cls.settings:
            raise ValueError(
                f"`variant` must be one of {', '.join(cls.settings)}. Received: variant={variant!r}"
            )
        return cls.settings[variant]

    @classmethod
    def signature_of(cls, variant: str) -> tuple[int, int]:
        """The number of blocks and the width that a variant is known by.

        Args:
            variant: Its name.
        """
        raise NotImplementedError

    @classmethod
    def source_of(cls, variant: str, weights: Any, accept_license: str | None = None) -> Any:
        """Resolve the argument `weights`; fetch listed weights.

        Args:
            variant: The variant.
            weights: `None`, a tag, a path or a `WeightEntry`.
            accept_license: The licence that the user accepts.

        Returns:
            `None`, a `WeightEntry`, or a path.

        Raises:
            UnknownWeights: If it is neither a file nor a tag that an installed listing has.
            LicenceNotAccepted: If the licence asks for consent that was not given.
            WeightsUnavailable: If they are nowhere to be had.
        """
        if isinstance(weights, str) and not Path(weights).is_file():
            weights = find_weights(f"{cls.identifier()}/{variant}/{weights}")
        if isinstance(weights, WeightEntry):
            # Before a large graph is made in vain.
            fetch(weights, accept_license=accept_license)
        if weights is None or isinstance(weights, WeightEntry | os.PathLike):
            return weights
        if not isinstance(weights, str):
            raise TypeError(
                "`weights` must be None, a tag, a path or a WeightEntry. "
                f"Received: weights={weights!r}"
            )
        return Path(weights)

    @classmethod
    def preprocessing_of(cls, variant: str) -> Mapping[str, Any]:  # noqa: ARG003  # of subclasses
        """Arguments of `Preprocess` that a variant is trained with by default.

        Args:
            variant: Its name.
        """
        return cls.preprocessing

    @classmethod
    def preprocess_of(
        cls, source: Any, preprocess: Mapping[str, Any] | None, variant: str
    ) -> dict[str, Any]:
        """The preprocessing: what was given, what the weights were trained with, the default.

        Args:
            source: What `source_of` returned.
            preprocess: Arguments of `Preprocess`, or `None`.
            variant: The variant.
        """
        if preprocess is not None:
            return Preprocess(**preprocess).to_json()
        trained = source.preprocess if isinstance(source, WeightEntry) else {}
        return Preprocess(**(trained or cls.preprocessing_of(variant))).to_json()

    @classmethod
    def from_weights(
        cls,
        source: str | os.PathLike[str] | WeightEntry,
        *,
        variant: str | None = None,
        layout: str | None = None,
        accept_license: str | None = None,
        **config: Any,
    ) -> Self:
        """Make the model that a file of weights is for.

        Args:
            source: A file, the name of listed weights (`ViT/tiny/imagenet`), the address of a file
                on the hub (`hf://owner/name/file@revision`), or a `WeightEntry`.
            variant: The variant; by default that of the row, or the one that the shapes of the
                file belong to.
            layout: The name of the file's layout; by default the one that accounts for all keys.
            accept_license: The licence that you accept, where the row asks for consent.
            **config: Further arguments of the constructor.

        Raises:
            ValueError: If the shapes of a file belong to no variant.
        """
        if isinstance(source, str) and not Path(source).is_file():
            source = find_weights(source)
        if isinstance(source, WeightEntry) and source.component:
            known: dict[str, Any] = {"variant": source.variant, **source.config}
        elif isinstance(source, WeightEntry):
            known = cls._inferred(fetch(source, accept_license=accept_license), layout, variant)
        else:
            known = cls._inferred(Path(source), layout, variant)
        known |= {"variant": variant} if variant is not None else {}
        model = cls(**{**known, **config})
        model.load_pretrained(source, layout=layout, accept_license=accept_license)
        return model

    @classmethod
    def _inferred(cls, path: Path, layout: str | None, variant: str | None) -> dict[str, Any]:
        shapes = shapes_of(cls.identifier(), path, layout)
        config = cls.config_of(shapes)
        if variant is not None:
            return {**config, "variant": variant}
        blocks = {m[0] for name in shapes if (m := re.search(cls.block, name))}
        wide = shapes.get(cls.width_path, (0,))
        found = (len(blocks), max(wide))
        for name in cls.settings:
            if cls.signature_of(name) == found:
                return {**config, "variant": name}
        raise ValueError(
            f"`variant` must be given: {path} has {found[0]} blocks of the width {found[1]}, as no "
            f"variant of {cls.__name__} has."
        )

    @classmethod
    def config_of(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Arguments of the constructor that follow from the shapes in a file.

        Args:
            shapes: Path of a variable -> the shape that it gets from the file.
        """
        head = shapes.get(HEAD[0])
        return {"include_top": False} if head is None else {"classes": head[-1]}

    def keep(self, values: Mapping[str, Any]) -> None:
        """Store the constructor's parameters under their own names.

        Args:
            values: The local names of the constructor before it makes any of its own.
        """
        for name, value in values.items():
            # What Keras has under a parameter's name, the contract stores as it was given.
            taken = isinstance(getattr(type(self), name, None), property)
            if name not in {"self", "kwargs", "__class__", *self.transient} and not taken:
                setattr(self, name, value)

    def finish(self, levels: Sequence[str], source: Any, accept_license: str | None) -> None:
        """Name the levels of features and load the weights.

        Args:
            levels: Names of the layers whose outputs are features, in the order of the graph.
            source: What `source_of` returned.
            accept_license: The licence that the user accepts.
        """
        self._levels = tuple(levels)
        self.weights_info = None
        if source is None:
            return
        if isinstance(source, WeightEntry) and source.preprocess and self.preprocess is None:
            self.preprocess = dict(source.preprocess)
        self.load_pretrained(source, accept_license=accept_license)

    def load_pretrained(
        self,
        source: Any,
        *,
        layout: str | None = None,
        skip: Sequence[str] = (),
        accept_license: str | None = None,
    ) -> Report:
        """Load weights from a file of any layout; an error leaves the model as it was.

        Args:
            source: A file, the name of listed weights, or a `WeightEntry`.
            layout: The name of its layout; by default the one that accounts for all keys.
            skip: What to leave out: `"head"` for the classifier, or as `dl_techniques.weights.load`
                has it.
            accept_license: The licence that you accept, where the row asks for consent.

        Returns:
            What became of each tensor of the file.

        Raises:
            WeightsMismatch: If a tensor or a variable is unaccounted for, or a shape does not fit.
        """
        entry = source if isinstance(source, WeightEntry) else None
        present = {layer.name for layer in self.layers}
        absent = () if self.include_top else (n for n in self.top_layers if n not in present)
        left_out = dict.fromkeys([*skip, *absent])
        patterns = [p for name in left_out for p in (HEAD if name == "head" else (name,))]
        try:
            report = load(
                self,
                source,
                layout or (entry.layout if entry is not None else "") or None,
                patterns,
                component=self.identifier(),
                accept_license=accept_license,
            )
        except WeightsMismatch as error:
            if not any("head.kernel" in text for text in error.report.mismatched):
                raise
            raise WeightsMismatch(
                f"{error}\nThe file has another number of classes. Give the model the file's "
                "`classes` and call `reset_head`, or leave the classifier out: skip=('head',).",
                error.report,
            ) from None
        name = entry.name if entry is not None else str(source)
        self.weights_info = WeightsInfo(name, entry, report)
        return report

    # Images

    @property
    def preprocessor(self) -> Preprocessor:
        """Turns images of bytes into the model's input, at the size that the model is built for."""
        settings = dict(self.preprocess or self.preprocessing_of(self.variant))
        size = self.inputs[0].shape[1:3]
        if None not in size:
            settings["size"] = tuple(size)
        return Preprocessor(settings)

    def preprocess_input(self, images: Any) -> Any:
        """Resize, crop and normalize images as the weights were trained with.

        Args:
            images: An image (height, width, 3) of bytes, a batch, or a list of any sizes.

        Returns:
            (batch, height, width, 3) in float32.
        """
        return self.preprocessor(images)

    # Parts

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the layers whose outputs `features` gives."""
        return self._levels

    def feature(self, level: int) -> Tensor:
        """The symbolic map of one level, (batch, height, width, channels).

        Args:
            level: Its number.
        """
        return self.get_layer(self._levels[level]).output

    def features(self, levels: Sequence[int] | None = None) -> Any:
        """A model that gives the maps of several levels and shares this one's weights.

        Args:
            levels: Their numbers, negative ones from the end; `None` for all.

        Returns:
            A `keras.Model` whose output is a list of (batch, height, width, channels).

        Raises:
            ValueError: If there is no such level.
        """
        count = len(self._levels)
        chosen = range(count) if levels is None else levels
        if not chosen or any(not -count <= level < count for level in chosen):
            raise ValueError(
                f"`levels` must be numbers from 0 to {count - 1}. Received: levels={levels}"
            )
        maps = [self.feature(level % count) for level in chosen]
        return keras.Model(self.inputs[0], maps, name=f"{self.name}_features")

    def freeze(self, until: int | str | None = None) -> None:
        """Freeze all layers up to a level, or all but the classifier.

        Args:
            until: The last level to freeze, by number or by the name of its layer; `None` for all
                layers but the classifier.

        Raises:
            ValueError: If there is no such level.
        """
        count = len(self._levels)
        if isinstance(until, int) and -count <= until < count:
            until = self._levels[until]
        if until is not None and until not in self._levels:
            raise ValueError(
                f"`until` must be a level: 0 to {count - 1} or one of {', '.join(self._levels)}. "
                f"Received: until={until!r}"
            )
        for layer in self.backbone_layers():
            layer.trainable = False
            if layer.name == until:
                break

    def backbone_layers(self) -> list[Any]:
        """The layers that `freeze` freezes, in the order of the graph: all but the classifier."""
        return [layer for layer in self.layers if layer.name != "head"]

    def reset_head(self, classes: int, classifier_activation: Any = None) -> Self:
        """A model with the same weights and a new classifier.

        Args:
            classes: Its number of classes.
            classifier_activation: Its activation; `None` for logits.

        Returns:
            A model of its own; this one stays as it is.

        Raises:
            ValueError: If models of this class have no classifier.
        """
        if not hasattr(self, "classes"):
            raise ValueError(f"{type(self).__name__} has no classifier.")
        config = self.get_config() | {"include_top": True, "classes": classes}
        config["classifier_activation"] = classifier_activation
        model = type(self).from_config(config)
        own = {layer.name: layer for layer in self.layers}
        for layer in model.layers:
            if layer.name != "head" and layer.name in own:
                layer.set_weights(own[layer.name].get_weights())
                layer.trainable = own[layer.name].trainable
        model.weights_info = self.weights_info
        return model


def shapes_of(component: str, path: Path, layout: str | None) -> dict[str, tuple[int, ...]]:
    """Path of each variable that a file fills -> the shape that it gets.

    Tables of positions keep the file's shape: how they are split depends on the model.

    Args:
        component: Identifier of the component.
        path: The file.
        layout: The name of its layout; `None` for the one that accounts for all keys.
    """
    file = open_weights(path)
    rows = layouts_of(component)
    candidates = [load_layout(row) for name, row in rows.items() if layout in {None, name}]
    found: dict[str, tuple[int, ...]] = {}
    for transform, binding in infer_layout(candidates, file, component).matches(file)[0]:
        names = [filled(variable, binding) for variable in transform.variables]
        shapes = [file.shape(filled(key, binding)) for key in transform.keys]
        # Zeros of any size that take no memory.
        zeros = [np.broadcast_to(np.float32(0), shape) for shape in shapes]
        try:
            made = transform.forward(zeros, shapes * len(names))
        except (ValueError, IndexError):
            made = zeros * len(names)
        found |= {name: array.shape for name, array in zip(names, made, strict=False)}
    return found
