"""CoShNet. Importing the package imports neither Keras nor a backend."""

from dl_techniques.core.lazy import serve

_ADDRESSES = {
    "CoShNet": "coshnet:CoShNet",
}
__getattr__, __dir__, __all__ = serve(
    __name__, {name: f"{__name__}.{address}" for name, address in _ADDRESSES.items()}
)
