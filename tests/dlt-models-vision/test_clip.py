"""Oracles: CLIP of transformers and open_clip with random weights, by the files they write."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest

from dl_techniques import weights as W
from dl_techniques.models.clip import CLIPLogits, CLIPModel, CLIPViTB32, EndOfTextPooling

# TensorFlow traces a step for longer than these models train.
EAGER = keras.backend.backend() == "tensorflow"
SMALL = {"image_dim": 16, "image_depth": 2, "image_heads": 2, "patch_size": 8, "embed_dim": 8}
SMALL |= {"text_dim": 8, "text_depth": 1, "text_heads": 2}
SMALL |= {"input_shape": (16, 16, 3), "vocabulary_size": 20, "context_length": 6}
COUNTS = {
    "vit_b_32": 151_277_313,
    "vit_b_16": 149_620_737,
    "vit_l_14": 427_616_513,
    "vit_l_14_336": 427_944_193,
}
# With one end token, with several, and cut before it came: then the largest number counts.
TOKENS = np.array([[18, 3, 4, 19, 0, 0], [18, 5, 19, 19, 19, 19], [18, 7, 9, 8, 2, 1]])


def parameters(size, vocabulary, length):
    """Two towers of blocks of 12 D^2 + 13 D; patches without bias, two norms more; the scale."""
    d, t, grid = size.image_dim, size.text_dim, size.image_size // size.patch_size
    image = 3 * size.patch_size**2 * d + d + (1 + grid**2) * d + 4 * d + d * size.embed_dim
    text = (vocabulary + length) * t + 2 * t + t * size.embed_dim
    blocks = size.image_depth * (12 * d**2 + 13 * d) + size.text_depth * (12 * t**2 + 13 * t)
    return image + text + blocks + 1


@pytest.mark.parametrize("variant", COUNTS)
def test_parameters_of_variants(variant):
    assert parameters(CLIPModel.settings_of(variant), 49408, 77) == COUNTS[variant]


def test_the_model_has_the_parameters_of_the_formula():
    own = {name: SMALL[name] for name in CLIPModel.settings["vit_b_32"]._fields if name in SMALL}
    size = CLIPModel.settings_of("vit_b_32")._replace(image_size=16, **own)
    assert CLIPViTB32(**SMALL).count_params() == parameters(size, 20, 6)


@pytest.fixture
def inputs(images):
    return {"images": images(16, batch=3), "tokens": TOKENS.astype("int32")}


@pytest.fixture
def hugging(timm, randomized):
    transformers = pytest.importorskip("transformers")

    def make():
        vision = {"hidden_size": 16, "num_hidden_layers": 2, "image_size": 16, "patch_size": 8}
        text = {"hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 32}
        text |= {"vocab_size": 20, "max_position_embeddings": 6, "eos_token_id": 2}
        heads = {"num_attention_heads": 2}
        config = transformers.CLIPConfig(
            text_config=text | heads,
            vision_config=vision | heads | {"intermediate_size": 64},
            projection_dim=8,
        )
        return randomized(transformers.CLIPModel(config))

    return make


@pytest.fixture
def open_clip(timm, randomized):
    pytest.importorskip("open_clip")
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    def make(quick_gelu):
        vision = CLIPVisionCfg(layers=2, width=16, head_width=8, patch_size=8, image_size=16)
        text = CLIPTextCfg(context_length=6, vocab_size=20, width=8, heads=2, layers=1)
        return randomized(CLIP(8, vision, text, quick_gelu=quick_gelu))

    return make


def tensors(inputs):
    import torch

    return (
        torch.tensor(inputs["images"].transpose(0, 3, 1, 2)),
        torch.tensor(inputs["tokens"], dtype=torch.long),
    )


@pytest.mark.oracle
def test_transformers(hugging, written, agrees, returns, inputs, gradients):
    theirs = hugging()
    path = written(theirs)
    model = CLIPModel(weights=path, **SMALL)
    assert model.weights_info.report.layout == "hf"
    pixels, ids = tensors(inputs)
    expected = theirs(pixel_values=pixels, input_ids=ids, return_loss=True)
    ours = model(inputs)
    for name in ("image_embeds", "text_embeds", "logits_per_image", "logits_per_text"):
        agrees("CLIPModel", "transformers", ours[name], expected[name].detach(), name)
    loss = model.compute_loss(y_pred=ours)
    agrees("CLIPModel", "transformers", loss, expected.loss.detach(), "loss")
    returns(model, path, "hf")
    _gradients_agree(model, theirs, inputs, agrees)


def _gradients_agree(model, theirs, inputs, agrees):
    """Of the loss, by weights at the beginning of both towers, and by the scale."""
    from dl_techniques.core.testing.differentiation import differentiator

    pixels, ids = tensors(inputs)
    theirs.zero_grad()
    theirs(pixel_values=pixels, input_ids=ids, return_loss=True).loss.backward()
    logits = model.get_layer("logits")
    variables = [
        model.get_layer("image_patches").projection.kernel,
        model.get_layer("text_tokens").embeddings,
        logits.logit_scale,
    ]
    tokens = keras.ops.convert_to_tensor(inputs["tokens"])

    def loss(x):
        return model.compute_loss(y_pred=model({"images": x, "tokens": tokens}))

    found = differentiator(loss, variables)([inputs["images"]]).variables
    vision, text = theirs.vision_model.embeddings, theirs.text_model.embeddings
    wanted = [
        vision.patch_embedding.weight.grad.permute(2, 3, 1, 0),
        text.token_embedding.weight.grad,
        theirs.logit_scale.grad,
    ]
    for variable, mine, other in zip(variables, found, wanted, strict=True):
        agrees("CLIPModel", "transformers", mine, other, f"gradient of {variable.path}")


@pytest.mark.oracle
def test_open_clip(open_clip, written, agrees, returns, inputs, tmp_path):
    import torch

    theirs = open_clip(quick_gelu=True)
    path = written(theirs)
    model = CLIPModel(weights=str(path), **SMALL)
    assert model.weights_info.report.layout == "openclip"
    image, text, scale = theirs(*tensors(inputs))
    ours = model(inputs)
    agrees("CLIPModel", "open_clip", ours["image_embeds"], image.detach(), "image_embeds")
    agrees("CLIPModel", "open_clip", ours["text_embeds"], text.detach(), "text_embeds")
    logits = (scale * image @ text.T).detach()
    agrees("CLIPModel", "open_clip", ours["logits_per_image"], logits, "logits_per_image")
    returns(model, path, "openclip")
    pixels, ids = tensors(inputs)
    encoded = model.image_encoder(inputs["images"])
    agrees("CLIPModel", "open_clip", encoded, theirs.encode_image(pixels).detach(), "image")
    encoded = model.text_encoder(inputs["tokens"])
    agrees("CLIPModel", "open_clip", encoded, theirs.encode_text(ids).detach(), "text")
    # OpenAI's releases are programs of TorchScript in half precision.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = (pixels.half(), ids)
        program = torch.jit.trace(theirs.half(), example, check_trace=False, strict=False)
    program.save(tmp_path / "ViT-B-32.pt")
    half = CLIPModel(weights=tmp_path / "ViT-B-32.pt", **SMALL)
    for before, after in zip(model.get_weights(), half.get_weights(), strict=True):
        np.testing.assert_array_equal(before.astype("float16"), after.astype("float16"))


@pytest.mark.oracle
def test_open_clip_with_gelu_and_images_of_another_size(open_clip, written, agrees, images):
    theirs = open_clip(quick_gelu=False)
    path = written(theirs)
    model = CLIPModel(weights=path, activation="gelu", **{**SMALL, "input_shape": (32, 32, 3)})
    from open_clip.model import resize_pos_embed

    state = theirs.state_dict()
    theirs.visual.grid_size, theirs.visual.image_size = (4, 4), (32, 32)
    resize_pos_embed(state, theirs, antialias=True)
    import torch

    theirs.visual.positional_embedding = torch.nn.Parameter(state["visual.positional_embedding"])
    x = images(32)
    image = theirs.encode_image(torch.tensor(x.transpose(0, 3, 1, 2))).detach()
    agrees("CLIPModel", "open_clip", model.image_encoder(x), image, "other size, exact GELU")


def test_a_file_tells_the_variant(monkeypatch, tmp_path):
    """Those of one depth and width are told apart by patches and images."""
    sizes = CLIPModel.settings_of("vit_b_32")._replace(
        **{
            name: n
            for name, n in SMALL.items()
            if name.endswith(("dim", "depth", "heads", "size")) and name != "vocabulary_size"
        }
    )
    known = {
        "vit_b_32": sizes._replace(patch_size=16, image_size=16),
        "vit_b_16": sizes._replace(image_size=16),
        "vit_l_14": sizes._replace(image_size=24),
    }
    monkeypatch.setattr(CLIPModel, "settings", known)
    kept = {name: SMALL[name] for name in ("vocabulary_size", "context_length", "input_shape")}
    W.export(CLIPModel("vit_b_16", **kept), tmp_path / "16.safetensors", "openclip")
    found = CLIPModel.from_weights(tmp_path / "16.safetensors")
    assert (found.variant, found.vocabulary_size, found.context_length) == ("vit_b_16", 20, 6)


def test_listed_weights_tell_the_activation(tmp_path, monkeypatch):
    monkeypatch.setenv("DL_TECHNIQUES_WEIGHTS_DIR", str(tmp_path))
    model = CLIPModel(activation="gelu", **SMALL)
    W.export(model, tmp_path / "gelu.safetensors", "openclip")
    source = W.UrlSource("https://example.org/gelu.safetensors")
    place = tmp_path / source.mirror_path
    place.parent.mkdir(parents=True)
    (tmp_path / "gelu.safetensors").rename(place)
    entry = W.WeightEntry(
        component="dl_techniques>CLIPModel",
        variant="vit_b_32",
        tag="gelu",
        sources=(source,),
        licence="mit",
        layout="openclip",
        gate="none",
        config={"activation": "gelu"},
    )
    config = CLIPModel(weights=entry, **SMALL).get_config()
    assert config["activation"] == "gelu"
    assert {e.config["activation"] for e in W.list("CLIPModel")} == {"quick_gelu"}


def test_end_of_text():
    """Closed form: the first end token, or the largest number."""
    features = np.arange(18, dtype="float32").reshape(3, 6, 1)
    pooled = keras.ops.convert_to_numpy(EndOfTextPooling(19)([features, TOKENS]))
    assert pooled[:, 0].tolist() == [3.0, 8.0, 12.0]


def test_training(inputs):
    """The loss falls, the towers may be frozen, and the scale stays within its bounds."""
    model = CLIPModel(**SMALL)
    model.get_layer("logits").logit_scale.assign(4.605)
    model.compile(keras.optimizers.Adam(0.02), run_eagerly=EAGER)
    history = model.fit(inputs, epochs=12, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < 0.5 * history[0]
    scale = float(keras.ops.convert_to_numpy(model.get_layer("logits").logit_scale))
    assert scale <= np.float32(np.log(100.0))
    model.freeze()
    kept = {v.path.split("/")[0] for v in model.trainable_variables}
    assert not any(name.startswith("image_") for name in kept)
    assert {"text_block0", "logits"} <= kept

    with pytest.raises(ValueError, match="no classifier"):
        model.reset_head(3)


def test_loss_of_weighted_pairs():
    """Property: a pair of weight zero is as good as absent."""
    model = CLIPModel(**{**SMALL, "image_depth": 1})
    logits = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=(3, 3)))
    weight = np.array([1.0, 1.0, 0.0])
    weighted = model.compute_loss(y_pred={"logits_per_image": logits}, sample_weight=weight)
    alone = model.compute_loss(y_pred={"logits_per_image": logits[:2, :2]})
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (weighted, alone)), rtol=1e-5)


def test_cosines_of_half_precision():
    """Norms beyond the range of half precision."""
    layer = CLIPLogits(dtype="mixed_float16")
    x = np.full((2, 4), 300.0, "float32")
    found = keras.ops.convert_to_numpy(layer([x, -x])["logits_per_text"])
    np.testing.assert_allclose(found, -1 / 0.07, rtol=1e-5)
