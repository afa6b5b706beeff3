from dl_techniques.models.som_memory.som_memory import SOMMemory as SOMMemory

__all__ = [
    "SOMMemory",
]
