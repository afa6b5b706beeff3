"""ConvUNext. Importing the package imports neither Keras nor a backend."""

from dl_techniques.core.lazy import serve

_ADDRESSES = {
    "ConvUNext": "convunext:ConvUNext",
    "ConvUNextModel": "convunext:ConvUNext",
    **{
        name: f"model:{name}"
        for name in ("create_convunext_variant", "create_inference_model_from_training_model")
    },
}
__getattr__, __dir__, __all__ = serve(
    __name__, {name: f"{__name__}.{address}" for name, address in _ADDRESSES.items()}
)
