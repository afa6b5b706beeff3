from dl_techniques.models.vision.__about__ import __version__ as __version__
from dl_techniques.models.vision.constructor import Constructor as Constructor
from dl_techniques.models.vision.constructor import constructor as constructor
from dl_techniques.models.vision.crop_like import CropLike as CropLike
from dl_techniques.models.vision.pad_to_multiple import PadToMultiple as PadToMultiple
from dl_techniques.models.vision.resize_like import ResizeLike as ResizeLike
from dl_techniques.models.vision.vision_model import VisionModel as VisionModel
from dl_techniques.models.vision.vision_model import WeightsInfo as WeightsInfo
