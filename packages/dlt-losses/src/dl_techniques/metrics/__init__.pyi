from dl_techniques.metrics.clip_accuracy import CLIPAccuracy as CLIPAccuracy

__all__ = [
    "CLIPAccuracy",
]
