"""CLIP and its tokenizer. Importing the package imports neither Keras nor a backend."""

from dl_techniques.core.lazy import serve

_ADDRESSES = {
    "CLIPLogits": "clip_logits:CLIPLogits",
    "CLIPModel": "clip_model:CLIPModel",
    "CLIPTokenizer": "clip_tokenizer:CLIPTokenizer",
    "CLIPViTB16": "constructors:CLIPViTB16",
    "CLIPViTB32": "constructors:CLIPViTB32",
    "CLIPViTL14": "constructors:CLIPViTL14",
    "CLIPViTL14At336": "constructors:CLIPViTL14At336",
    "EndOfTextPooling": "end_of_text_pooling:EndOfTextPooling",
}
__getattr__, __dir__, __all__ = serve(
    __name__, {name: f"{__name__}.{address}" for name, address in _ADDRESSES.items()}
)
