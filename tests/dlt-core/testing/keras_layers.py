"""Keras's own layers as examples, and every exception that the kit needs for them.

The exceptions are data: layer -> check -> (where, why). `where` is a backend, a Keras version
("3.8"), or both as "tensorflow 3.8"; empty means everywhere. They are strict: one that is not
needed any more fails the calibration.
"""

from __future__ import annotations

import keras

from dl_techniques.core import Example, Fresh, TensorSpec

V = TensorSpec((4, 6))
S = TensorSpec((3, 5, 6))
I = TensorSpec((2, 6, 5, 4))  # noqa: E741  # an image
D3 = TensorSpec((2, 4, 5, 4, 2))
TOKENS = TensorSpec((3, 5), dtype="int32", low=0, high=7)
PIXELS = TensorSpec((2, 8, 8, 3), low=0.0, high=255.0)

NOISE = {"stochastic", "changes_in_training"}
BATCH = {"couples_batch", "changes_in_training"}
PICKS = {"hides_nan"}

_LAYERS = [
    ("Dense", {"units": 3}, V, ()),
    ("Dense", {"units": 3}, S, ("permutation_equivariant",)),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 4)}, S, ()),
    ("Embedding", {"input_dim": 7, "output_dim": 4}, TOKENS, ()),
    ("Identity", {}, S, ("elementwise", "idempotent")),
    ("Masking", {}, S, PICKS),
    ("Activation", {"activation": "tanh"}, V, ("elementwise", "monotone")),
    ("ReLU", {}, V, ("elementwise", "idempotent", "scale_equivariant", *PICKS)),
    ("LeakyReLU", {}, V, ("elementwise", "scale_equivariant", *PICKS)),
    ("PReLU", {}, V, ("elementwise", *PICKS)),
    ("ELU", {}, V, ("elementwise", "monotone", *PICKS)),
    ("Softmax", {}, V, ()),
    ("LayerNormalization", {}, S, ("permutation_equivariant",)),
    ("BatchNormalization", {}, V, BATCH),
    ("BatchNormalization", {}, I, BATCH),
    ("GroupNormalization", {"groups": 2}, I, ()),
    ("UnitNormalization", {}, V, ("scale_invariant",)),
    ("SpectralNormalization", {"layer": Fresh(lambda: keras.layers.Dense(3))}, V, BATCH),
    ("Conv1D", {"filters": 3, "kernel_size": 3}, S, ()),
    ("Conv2D", {"filters": 3, "kernel_size": 3, "padding": "same"}, I, ()),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "groups": 2, "strides": 2}, I, ()),
    ("Conv3D", {"filters": 2, "kernel_size": 2}, D3, ()),
    ("Conv1DTranspose", {"filters": 3, "kernel_size": 3}, S, ()),
    ("Conv2DTranspose", {"filters": 3, "kernel_size": 2, "strides": 2}, I, ()),
    ("Conv3DTranspose", {"filters": 2, "kernel_size": 2}, D3, ()),
    ("DepthwiseConv1D", {"kernel_size": 3}, S, ()),
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2}, I, ()),
    ("SeparableConv1D", {"filters": 3, "kernel_size": 3}, S, ()),
    ("SeparableConv2D", {"filters": 3, "kernel_size": 3}, I, ()),
    ("MaxPooling1D", {}, S, PICKS),
    ("MaxPooling2D", {}, I, PICKS),
    ("MaxPooling3D", {}, D3, PICKS),
    ("AveragePooling1D", {"pool_size": 2}, S, ("scale_equivariant",)),
    ("AveragePooling2D", {"pool_size": 2}, I, ("scale_equivariant",)),
    ("AveragePooling3D", {"pool_size": 2}, D3, ()),
    ("GlobalMaxPooling1D", {}, S, PICKS),
    ("GlobalMaxPooling2D", {}, I, PICKS),
    ("GlobalAveragePooling1D", {}, S, ("scale_equivariant",)),
    ("GlobalAveragePooling2D", {}, I, ("scale_equivariant",)),
    ("ZeroPadding1D", {}, S, ("scale_equivariant",)),
    ("ZeroPadding2D", {}, I, ()),
    ("ZeroPadding3D", {}, D3, ()),
    ("Cropping1D", {}, S, PICKS),
    ("Cropping2D", {}, I, PICKS),
    ("UpSampling1D", {}, S, ()),
    ("UpSampling2D", {}, I, ()),
    ("UpSampling2D", {"interpolation": "bilinear"}, I, ()),
    ("UpSampling3D", {}, D3, ()),
    ("Flatten", {}, I, ()),
    ("Reshape", {"target_shape": (2, 3)}, V, ()),
    ("Permute", {"dims": (2, 1)}, S, ()),
    ("RepeatVector", {"n": 3}, V, ()),
    ("Rescaling", {"scale": 2.0}, V, ("elementwise", "monotone")),
    ("Dropout", {"rate": 0.5, "seed": 1}, V, NOISE),
    ("SpatialDropout1D", {"rate": 0.5, "seed": 1}, S, NOISE),
    ("SpatialDropout2D", {"rate": 0.5, "seed": 1}, I, NOISE),
    ("GaussianNoise", {"stddev": 0.5, "seed": 1}, V, NOISE),
    ("GaussianDropout", {"rate": 0.5, "seed": 1}, V, NOISE),
    ("AlphaDropout", {"rate": 0.5, "seed": 1}, V, NOISE),
    ("ActivityRegularization", {"l2": 0.1}, V, ("elementwise",)),
    ("SimpleRNN", {"units": 3}, S, ()),
    ("LSTM", {"units": 3, "return_sequences": True}, S, ()),
    ("GRU", {"units": 3}, S, ()),
    ("Bidirectional", {"layer": Fresh(lambda: keras.layers.LSTM(2))}, S, ()),
    ("TimeDistributed", {"layer": Fresh(lambda: keras.layers.Dense(2))}, S, ()),
    ("MultiHeadAttention", {"num_heads": 2, "key_dim": 3}, (S, S), ()),
    (
        "GroupQueryAttention",
        {"head_dim": 3, "num_query_heads": 2, "num_key_value_heads": 1},
        (S, S),
        (),
    ),
    ("Resizing", {"height": 4, "width": 4}, PIXELS, ()),
    ("CenterCrop", {"height": 4, "width": 4}, PIXELS, PICKS),
    ("RandomCrop", {"height": 4, "width": 4, "seed": 1}, PIXELS, {*NOISE, *PICKS}),
]

KEY_BIAS = "softmax is blind to a shift of all keys, so the key bias has no gradient"
NOT_COUPLED = "its state changes in training, but no sample sees another"
FLOAT64 = "its kernels compute in float32 whatever the dtype"
CPU_KERNELS = "there is no kernel for half precision on the CPU"
COMPILED = "compiled, its float16 product has a precision that JAX has not on the CPU"
HALF_ATTENTION = f"on TensorFlow it scales after the product, which overflows; on JAX, {COMPILED}"
CROP = "it claims the cropped size and does not crop at inference (keras-team/keras#21868)"
QUANTIZED = "Keras cannot load it again once its inner layers are quantized"
INNER_POLICY = "the wrapped layer is made outside, under the global policy, not in float64"

# layer -> check -> (where, why)
EXCEPTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Masking": {"masks": ("", "it makes a mask of its own and drops the one that comes")},
    "UnitNormalization": {
        "gradients_at_zero": ("jax torch", "the gradient of its norm at zero is NaN"),
        "float16_range": ("jax tensorflow", "the square of a float16 overflows from 256 on"),
    },
    "SpectralNormalization": {
        "exemptions_are_needed": ("", NOT_COUPLED),
        "finite_differences": ("tensorflow", INNER_POLICY),
        "composition": ("", "it draws random numbers in the dtype of a quantized kernel"),
    },
    "MaxPooling3D": {
        "finite_differences": ("tensorflow", CPU_KERNELS),
        "mixed_policies": ("tensorflow", CPU_KERNELS),
        "float16_range": ("tensorflow", CPU_KERNELS),
    },
    "AveragePooling3D": {
        "finite_differences": ("tensorflow", CPU_KERNELS),
        "mixed_policies": ("tensorflow torch", CPU_KERNELS),
        "float16_range": ("tensorflow", CPU_KERNELS),
    },
    "GlobalMaxPooling1D": {"empty_batch": ("torch", "PyTorch takes no maximum of nothing")},
    "GlobalMaxPooling2D": {"empty_batch": ("torch", "PyTorch takes no maximum of nothing")},
    "UpSampling2D": {"finite_differences": ("tensorflow", FLOAT64)},
    "SimpleRNN": {"config_keeps_values": ("", "its `seed` is lost")},
    "Bidirectional": {"finite_differences": ("tensorflow", INNER_POLICY)},
    "TimeDistributed": {"finite_differences": ("tensorflow", INNER_POLICY)},
    "MultiHeadAttention": {
        "gradients_live": ("", KEY_BIAS),
        "mixed_policies": ("jax", COMPILED),
        "float16_range": ("jax tensorflow", HALF_ATTENTION),
        "composition": ("", QUANTIZED),
    },
    "GroupedQueryAttention": {
        "gradients_live": ("", KEY_BIAS),
        "mixed_policies": ("jax", COMPILED),
        "float16_range": ("jax tensorflow", HALF_ATTENTION),
        "composition": ("", QUANTIZED),
    },
    "RandomCrop": {
        "output_shape": ("", CROP),
        "output_spec": ("", CROP),
        "training_flag": ("", "its default is not inference"),
        "mixed_policies": ("", "its output is float32 under every policy"),
        "exemptions_are_needed": ("", "training crops to another shape, so there is no gap"),
    },
}


def excused(example: Example) -> dict[str, str]:
    """Check -> why it fails for the example's layer, here."""
    backend = keras.backend.backend()
    reasons = EXCEPTIONS.get(example.cls.__name__, {})
    return {check: why for check, (where, why) in reasons.items() if not where or backend in where}


def examples() -> list[Example]:
    """One example for each row, with a name that is unique."""
    found: list[Example] = []
    for index, (name, config, inputs, traits) in enumerate(_LAYERS):
        found.append(
            Example(
                getattr(keras.layers, name),
                config,
                inputs,
                traits=frozenset(traits),
                name=f"{name}_{index}",
            )
        )
    return found
