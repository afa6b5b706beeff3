from dl_techniques.metrics.clip_accuracy import CLIPAccuracy as CLIPAccuracy
from dl_techniques.metrics.retrieval_recall import retrieval_recall as retrieval_recall

__all__ = [
    "CLIPAccuracy",
    "retrieval_recall",
]
