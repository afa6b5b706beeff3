from dl_techniques.models.swin.constructors import SwinBase as SwinBase
from dl_techniques.models.swin.constructors import SwinLarge as SwinLarge
from dl_techniques.models.swin.constructors import SwinSmall as SwinSmall
from dl_techniques.models.swin.constructors import SwinTiny as SwinTiny
from dl_techniques.models.swin.swin_transformer import SwinTransformer as SwinTransformer
