"""The two towers of CLIP."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import keras

from dl_techniques.core import (
    Count,
    Example,
    Fraction,
    PositiveNumber,
    Rejection,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers import (
    ClassToken,
    PatchEmbedding,
    PositionalEmbedding,
    QuickGELU,
    VisionTransformerLayer,
)
from dl_techniques.losses import CLIPContrastiveLoss
from dl_techniques.models.clip.clip_logits import CLIPLogits
from dl_techniques.models.clip.end_of_text_pooling import EndOfTextPooling
from dl_techniques.models.vision.graph import image_input, patch_map, truncated_normal
from dl_techniques.models.vision.vision_model import VisionModel
from dl_techniques.weights import WeightEntry


class Size(NamedTuple):
    """The widths, depths and heads of a variant."""

    image_dim: int
    image_depth: int
    image_heads: int
    patch_size: int
    image_size: int
    text_dim: int
    text_depth: int
    text_heads: int
    embed_dim: int


SIZES: Mapping[str, Size] = {
    "vit_b_32": Size(768, 12, 12, 32, 224, 512, 12, 8, 512),
    "vit_b_16": Size(768, 12, 12, 16, 224, 512, 12, 8, 512),
    "vit_l_14": Size(1024, 24, 16, 14, 224, 768, 12, 12, 768),
    "vit_l_14_336": Size(1024, 24, 16, 14, 336, 768, 12, 12, 768),
}


@component(
    "dl_techniques>CLIPModel",
    kind="model",
    tags=("vision", "text", "transformer", "contrastive", "vision-language"),
    paper="arXiv:2103.00020",
    aliases=("dl_techniques>CLIP",),
    since="0.1",
    variants=("vit_b_32", "vit_b_16", "vit_l_14", "vit_l_14_336"),
)
class CLIPModel(VisionModel):
    """CLIP: embeds images and texts in one space, where those that belong together are near.

    S_ij = exp(s) cos(W_i f(image_i), W_t g(text_j)),
    L = (CE(S, identity) + CE(S^T, identity)) / 2

    f is a vision transformer with a norm before its first block, g a causal transformer whose
    features are those of the token that ends the text. `fit(x)` needs neither targets nor a loss:
    `model.compile("adamw")`. Each batch is compared with itself, so that it must be large.

    Args:
        variant: `"vit_b_32"`, `"vit_b_16"`, `"vit_l_14"` or `"vit_l_14_336"`.
        weights: First weights: `None` for random ones, a tag such as `"openai"`, a file of any
            layout, or a `WeightEntry`. Positions are resampled to the size of the images.
        input_shape: Height, width and channels of the images; whole numbers of patches.
        vocabulary_size: Number of tokens that there are.
        context_length: Number of tokens of each text, padding included.
        end_token: Token that ends a text; `None` for the last of the vocabulary.
        activation: `"quick_gelu"`, as of OpenAI's weights, or `"gelu"`; `None` for that of the
            listed weights, and `"quick_gelu"` otherwise. No file of weights tells it.
        embed_dim: Width of both embeddings; `None` for the variant's.
        patch_size: Side of a patch; `None` for the variant's.
        image_dim: Width of a token of an image; `None` for the variant's.
        image_depth: Number of blocks for images; `None` for the variant's.
        image_heads: Number of heads for images; `None` for the variant's.
        text_dim: Width of a token of a text; `None` for the variant's.
        text_depth: Number of blocks for texts; `None` for the variant's.
        text_heads: Number of heads for texts; `None` for the variant's.
        norm_epsilon: Epsilon of all norms.
        label_smoothing: Share of each target of the loss that is spread over the batch.
        preprocess: Arguments of `dl_techniques.weights.Preprocess`; `None` for those of the
            weights.
        include_preprocessing: Whether the model normalizes images of 0 to 255 itself.
        accept_license: The licence of the weights that you accept, where consent is asked for.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        A dictionary: `images`, `(images, height, width, channels)`, and `tokens`,
        `(texts, context_length)`, the integers that `CLIPTokenizer` makes.

    Output shape:
        That of `CLIPLogits`: `image_embeds`, `text_embeds`, `logits_per_image`,
        `logits_per_text`, `logit_scale`.

    Raises:
        ValueError: If an argument is out of range, or the images are no whole number of patches.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.clip import CLIPModel
        >>> small = {"image_dim": 8, "image_depth": 1, "image_heads": 2, "text_dim": 8}
        >>> small |= {"text_depth": 1, "text_heads": 2, "embed_dim": 4, "context_length": 5}
        >>> model = CLIPModel(input_shape=(32, 32, 3), vocabulary_size=9, **small)
        >>> x = {"images": np.zeros((3, 32, 32, 3)), "tokens": np.array([[7, 1, 8, 0, 0]] * 2)}
        >>> tuple(model(x)["logits_per_image"].shape)
        (3, 2)

    References:
        Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
        arXiv:2103.00020.
    """

    settings = SIZES
    preprocessing: ClassVar[Mapping[str, Any]] = {
        "size": 224,
        "crop_pct": 1.0,
        "mean": (0.48145466, 0.4578275, 0.40821073),
        "std": (0.26862954, 0.26130258, 0.27577711),
    }
    block: ClassVar[str] = r"image_block\d+"
    width_path: ClassVar[str] = "image_norm.gamma"
    include_top: bool = True
    expected_failures: ClassVar[Mapping[str, str]] = {
        **VisionModel.expected_failures,
        "mixed_policies": "logits stay in float32: the largest scale makes half precision coarse",
    }

    def __init__(
        self,
        variant: str = "vit_b_32",
        weights: Any = None,
        input_shape: Sequence[int] | None = None,
        vocabulary_size: Count = 49408,
        context_length: Count = 77,
        end_token: int | None = None,
        activation: Literal["quick_gelu", "gelu"] | None = None,
        embed_dim: Count | None = None,
        patch_size: Count | None = None,
        image_dim: Count | None = None,
        image_depth: Count | None = None,
        image_heads: Count | None = None,
        text_dim: Count | None = None,
        text_depth: Count | None = None,
        text_heads: Count | None = None,
        norm_epsilon: PositiveNumber = 1e-5,
        label_smoothing: Fraction = 0.0,
        preprocess: Mapping[str, Any] | None = None,
        include_preprocessing: bool = False,
        accept_license: str | None = None,
        **kwargs: Any,
    ) -> None:
        given = dict(locals())
        size = self.settings_of(variant)
        own = {name: given[name] for name in Size._fields if given.get(name) is not None}
        size = size._replace(**own)
        _require_heads(size)
        contrastive = CLIPContrastiveLoss(label_smoothing=label_smoothing)
        end = vocabulary_size - 1 if end_token is None else end_token
        if not isinstance(end, int) or not 0 <= end < vocabulary_size:
            raise ValueError(
                f"`end_token` must be a token, from 0 to {vocabulary_size - 1}. "
                f"Received: end_token={end_token}"
            )
        source = self.source_of(variant, weights, accept_license)
        listed = source.config.get("activation") if isinstance(source, WeightEntry) else None
        activation = activation or listed or "quick_gelu"
        images, x = image_input(
            input_shape, self.preprocess_of(source, preprocess, variant), include_preprocessing
        )
        if any(n is None or n % size.patch_size for n in images.shape[1:3]):
            raise ValueError(
                "`input_shape` must be whole numbers of patches. Received: height and width "
                f"{tuple(images.shape[1:3])}, patch_size={size.patch_size}"
            )
        block = {"activation": activation, "norm_epsilon": norm_epsilon}
        image_embeds = _image_tower(x, size, block)
        tokens = keras.Input((context_length,), dtype="int32", name="tokens")
        text_embeds = _text_tower(tokens, size, vocabulary_size, end, block)
        outputs = CLIPLogits(name="logits")([image_embeds, text_embeds])
        super().__init__({"images": images, "tokens": tokens}, outputs, **kwargs)
        self.keep(given)
        self.activation = activation
        self.contrastive = contrastive
        levels = [f"image_block{i}" for i in range(size.image_depth)]
        self.finish(levels, source, accept_license)

    @property
    def image_encoder(self) -> Any:
        """A model from images to their embeddings, which shares this one's weights.

        Its embeddings are not normalized.
        """
        output = self.get_layer("image_projection").output
        return keras.Model(self.inputs[0], output, name=f"{self.name}_image_encoder")

    @property
    def text_encoder(self) -> Any:
        """A model from tokens to their embeddings, which shares this one's weights.

        Its embeddings are not normalized.
        """
        output = self.get_layer("text_projection").output
        return keras.Model(self.inputs[1], output, name=f"{self.name}_text_encoder")

    def compute_loss(
        self,
        x: Any = None,  # noqa: ARG002  # Keras's signature
        y: Any = None,  # noqa: ARG002
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,  # noqa: ARG002
    ) -> Tensor:
        """The contrastive loss of the batch; image i belongs to text i.

        Args:
            x: Images and tokens.
            y: Not used.
            y_pred: The model's output.
            sample_weight: (batch,), or `None`; a pair of weight zero is no negative either.
            training: Whether the model is being trained.
        """
        logits = y_pred["logits_per_image"]
        loss = self.contrastive(logits[:, 0], logits, sample_weight)
        for extra in self.losses:
            loss = loss + keras.ops.cast(extra, loss.dtype)
        return loss

    def feature(self, level: int) -> Tensor:
        """The patches after a block of the image's tower, as a map.

        Args:
            level: The number of the block.
        """
        tokens = self.get_layer(f"image_block{level}").output
        return patch_map(tokens, self.get_layer("image_positions").grid_size)

    def backbone_layers(self) -> list[Any]:
        """The layers of the image's tower: training the rest is known as locked-image tuning."""
        return [layer for layer in self.layers if layer.name.startswith("image_")]

    @classmethod
    def signature_of(cls, variant: str) -> tuple[int, int]:
        """Depth and width of the image's tower."""
        size = cls.settings_of(variant)
        return size.image_depth, size.image_dim

    @classmethod
    def preprocessing_of(cls, variant: str) -> Mapping[str, Any]:
        """At the size of the variant."""
        return {**cls.preprocessing, "size": cls.settings_of(variant).image_size}

    @classmethod
    def config_of(cls, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
        """Patches, vocabulary, length of texts, width of embeddings, size of images."""
        patch, _, channels, _ = shapes["image_patches.projection.kernel"]
        side = math.isqrt(max(shapes["image_positions.embeddings"][:-1]) - 1) * patch
        return {
            "patch_size": patch,
            "input_shape": (side, side, channels),
            "vocabulary_size": shapes["text_tokens.embeddings"][0],
            "context_length": shapes["text_positions.embeddings"][0],
            "embed_dim": shapes["image_projection.kernel"][-1],
        }

    @classmethod
    def _inferred(cls, path: Path, layout: str | None, variant: str | None) -> dict[str, Any]:
        """By depth and width, then by the sizes of patches and images."""
        found = super()._inferred(path, layout, variant)
        if variant is None:
            named = cls.settings_of(found["variant"])
            exact = named._replace(
                patch_size=found["patch_size"], image_size=found["input_shape"][0]
            )
            same = [name for name, size in cls.settings.items() if size == exact]
            found |= {"variant": same[0]} if same else {}
        return found

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Both towers of one block."""
        inputs = {
            "images": TensorSpec((2, 8, 8, 3)),
            "tokens": TensorSpec((2, 5), dtype="int32", low=0, high=6),
        }
        small: dict[str, Any] = {"input_shape": (8, 8, 3), "patch_size": 4, "embed_dim": 4}
        small |= {"vocabulary_size": 6, "context_length": 5, "image_dim": 8, "image_depth": 1}
        small |= {"image_heads": 2, "text_dim": 8, "text_depth": 1, "text_heads": 2}
        dead = ("image_block0/attention/key/bias", "text_block0/attention/key/bias")
        traits = frozenset({"couples_batch"})
        yield Example(cls, small, inputs, traits=traits, dead=dead)

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown words, numbers out of range, cut patches."""
        yield Rejection(cls, {"variant": "vit_b_8"}, "variant")
        yield Rejection(cls, {"image_heads": 5}, "image_heads")
        yield Rejection(cls, {"text_dim": 500}, "text_heads")
        yield Rejection(cls, {"end_token": 49408}, "end_token")
        yield Rejection(cls, {"input_shape": (30, 32, 3)}, "input_shape")
        yield Rejection(cls, {"weights": 3}, "weights")


def _require_heads(size: Size) -> None:
    for tower in ("image", "text"):
        dim, heads = getattr(size, f"{tower}_dim"), getattr(size, f"{tower}_heads")
        if dim % heads:
            raise ValueError(
                f"`{tower}_heads` must divide `{tower}_dim`. "
                f"Received: {tower}_dim={dim}, {tower}_heads={heads}"
            )


def _block(heads: int, name: str, activation: str, norm_epsilon: float) -> VisionTransformerLayer:
    return VisionTransformerLayer(
        heads,
        norm_epsilon=norm_epsilon,
        activation=QuickGELU() if activation == "quick_gelu" else "gelu",
        kernel_initializer=truncated_normal(),
        name=name,
    )


def _norm(name: str, epsilon: float) -> Any:
    return keras.layers.LayerNormalization(epsilon=epsilon, name=name)


def _projection(x: Tensor, units: int, name: str) -> Tensor:
    initializer = keras.initializers.RandomNormal(stddev=x.shape[-1] ** -0.5)
    return keras.layers.Dense(units, use_bias=False, kernel_initializer=initializer, name=name)(x)


def _image_tower(x: Tensor, size: Size, block: Mapping[str, Any]) -> Tensor:
    """From images to their embeddings."""
    grid = tuple(n // size.patch_size for n in x.shape[1:3])
    x = PatchEmbedding(
        size.patch_size,
        size.image_dim,
        use_bias=False,
        kernel_initializer=truncated_normal(),
        name="image_patches",
    )(x)
    normal = {"mean": 0.0, "stddev": size.image_dim**-0.5}
    x = ClassToken(initializer=keras.initializers.RandomNormal(**normal), name="image_class_token")(
        x
    )
    x = PositionalEmbedding(
        grid_size=grid,
        prefix_tokens=1,
        embeddings_initializer=keras.initializers.RandomNormal(**normal),
        name="image_positions",
    )(x)
    x = _norm("image_first_norm", block["norm_epsilon"])(x)
    for i in range(size.image_depth):
        x = _block(size.image_heads, f"image_block{i}", **block)(x)
    x = _norm("image_norm", block["norm_epsilon"])(x[:, 0])
    return _projection(x, size.embed_dim, "image_projection")


def _text_tower(
    tokens: Tensor, size: Size, vocabulary: int, end: int, block: Mapping[str, Any]
) -> Tensor:
    """From tokens to the embeddings of texts."""
    x = keras.layers.Embedding(
        vocabulary,
        size.text_dim,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.02),
        name="text_tokens",
    )(tokens)
    x = PositionalEmbedding(
        max_seq_len=tokens.shape[1],
        embeddings_initializer=keras.initializers.RandomNormal(stddev=0.01),
        name="text_positions",
    )(x)
    for i in range(size.text_depth):
        x = _block(size.text_heads, f"text_block{i}", **block)(x, use_causal_mask=True)
    x = EndOfTextPooling(end, name="text_end")([x, tokens])
    x = _norm("text_norm", block["norm_epsilon"])(x)
    return _projection(x, size.embed_dim, "text_projection")
