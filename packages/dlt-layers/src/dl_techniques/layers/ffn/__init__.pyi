from dl_techniques.layers.ffn.swiglu_ffn import SwiGLUFFN as SwiGLUFFN

__all__ = [
    "SwiGLUFFN",
]
