from dl_techniques.layers.yolo.a2c2f_block import A2C2fBlock as A2C2fBlock
from dl_techniques.layers.yolo.area_attention import AreaAttention as AreaAttention
from dl_techniques.layers.yolo.attention_block import AttentionBlock as AttentionBlock
from dl_techniques.layers.yolo.bottleneck import Bottleneck as Bottleneck
from dl_techniques.layers.yolo.c3k2_block import C3k2Block as C3k2Block
from dl_techniques.layers.yolo.c3k_block import C3kBlock as C3kBlock
from dl_techniques.layers.yolo.classification_head import YOLOv12ClassificationHead as YOLOv12ClassificationHead
from dl_techniques.layers.yolo.conv_block import ConvBlock as ConvBlock
from dl_techniques.layers.yolo.decode import decode_yolov12_detections as decode_yolov12_detections
from dl_techniques.layers.yolo.detection_head import YOLOv12DetectionHead as YOLOv12DetectionHead
from dl_techniques.layers.yolo.segmentation_head import YOLOv12SegmentationHead as YOLOv12SegmentationHead

__all__ = [
    "A2C2fBlock",
    "AreaAttention",
    "AttentionBlock",
    "Bottleneck",
    "C3k2Block",
    "C3kBlock",
    "ConvBlock",
    "YOLOv12ClassificationHead",
    "YOLOv12DetectionHead",
    "YOLOv12SegmentationHead",
    "decode_yolov12_detections",
]
