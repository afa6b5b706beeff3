from dl_techniques.models.clip.clip_logits import CLIPLogits as CLIPLogits
from dl_techniques.models.clip.clip_model import CLIPModel as CLIPModel
from dl_techniques.models.clip.clip_tokenizer import CLIPTokenizer as CLIPTokenizer
from dl_techniques.models.clip.constructors import CLIPViTB16 as CLIPViTB16
from dl_techniques.models.clip.constructors import CLIPViTB32 as CLIPViTB32
from dl_techniques.models.clip.constructors import CLIPViTL14 as CLIPViTL14
from dl_techniques.models.clip.constructors import CLIPViTL14At336 as CLIPViTL14At336
from dl_techniques.models.clip.end_of_text_pooling import EndOfTextPooling as EndOfTextPooling
