from dl_techniques.models.vit.constructors import ViTBase as ViTBase
from dl_techniques.models.vit.constructors import ViTHMLPBase as ViTHMLPBase
from dl_techniques.models.vit.constructors import ViTHMLPLarge as ViTHMLPLarge
from dl_techniques.models.vit.constructors import ViTHMLPSmall as ViTHMLPSmall
from dl_techniques.models.vit.constructors import ViTHMLPTiny as ViTHMLPTiny
from dl_techniques.models.vit.constructors import ViTHuge as ViTHuge
from dl_techniques.models.vit.constructors import ViTLarge as ViTLarge
from dl_techniques.models.vit.constructors import ViTSmall as ViTSmall
from dl_techniques.models.vit.constructors import ViTTiny as ViTTiny
from dl_techniques.models.vit.vit import ViT as ViT
from dl_techniques.models.vit.vit_hmlp import ViTHMLP as ViTHMLP

VisionTransformer = ViT
HierarchicalVisionTransformer = ViTHMLP
