from dl_techniques.models.vit.constructors import ViTBase as ViTBase
from dl_techniques.models.vit.constructors import ViTHuge as ViTHuge
from dl_techniques.models.vit.constructors import ViTLarge as ViTLarge
from dl_techniques.models.vit.constructors import ViTSmall as ViTSmall
from dl_techniques.models.vit.constructors import ViTTiny as ViTTiny
from dl_techniques.models.vit.vit import ViT as ViT

VisionTransformer = ViT
