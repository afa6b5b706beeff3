from dl_techniques.layers.capsules.capsule_block import CapsuleBlock as CapsuleBlock
from dl_techniques.layers.capsules.primary_capsule import PrimaryCapsule as PrimaryCapsule
from dl_techniques.layers.capsules.routing_capsule import RoutingCapsule as RoutingCapsule
from dl_techniques.layers.capsules.squash_layer import SquashLayer as SquashLayer

__all__ = [
    "CapsuleBlock",
    "PrimaryCapsule",
    "RoutingCapsule",
    "SquashLayer",
]
