from dl_techniques.layers.routing.batch_conditional_output_layer import BatchConditionalOutputLayer as BatchConditionalOutputLayer
from dl_techniques.layers.routing.gradient_routing_layer import GradientRoutingLayer as GradientRoutingLayer
ConditionalOutput = BatchConditionalOutputLayer
SelectiveGradientMask = GradientRoutingLayer

__all__ = [
    "BatchConditionalOutputLayer",
    "ConditionalOutput",
    "GradientRoutingLayer",
    "SelectiveGradientMask",
]
