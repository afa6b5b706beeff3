from dl_techniques.models.convnext.constructors import ConvNextV1Base as ConvNextV1Base
from dl_techniques.models.convnext.constructors import ConvNextV1Large as ConvNextV1Large
from dl_techniques.models.convnext.constructors import ConvNextV1Small as ConvNextV1Small
from dl_techniques.models.convnext.constructors import ConvNextV1Tiny as ConvNextV1Tiny
from dl_techniques.models.convnext.constructors import ConvNextV1XLarge as ConvNextV1XLarge
from dl_techniques.models.convnext.constructors import ConvNextV2Atto as ConvNextV2Atto
from dl_techniques.models.convnext.constructors import ConvNextV2Base as ConvNextV2Base
from dl_techniques.models.convnext.constructors import ConvNextV2Femto as ConvNextV2Femto
from dl_techniques.models.convnext.constructors import ConvNextV2Huge as ConvNextV2Huge
from dl_techniques.models.convnext.constructors import ConvNextV2Large as ConvNextV2Large
from dl_techniques.models.convnext.constructors import ConvNextV2Nano as ConvNextV2Nano
from dl_techniques.models.convnext.constructors import ConvNextV2Pico as ConvNextV2Pico
from dl_techniques.models.convnext.constructors import ConvNextV2Tiny as ConvNextV2Tiny
from dl_techniques.models.convnext.convnext_v1 import ConvNeXtV1 as ConvNeXtV1
from dl_techniques.models.convnext.convnext_v2 import ConvNeXtV2 as ConvNeXtV2

ConvNeXtV1Tiny = ConvNextV1Tiny
ConvNeXtV1Small = ConvNextV1Small
ConvNeXtV1Base = ConvNextV1Base
ConvNeXtV1Large = ConvNextV1Large
ConvNeXtV1XLarge = ConvNextV1XLarge
ConvNeXtV2Atto = ConvNextV2Atto
ConvNeXtV2Femto = ConvNextV2Femto
ConvNeXtV2Pico = ConvNextV2Pico
ConvNeXtV2Nano = ConvNextV2Nano
ConvNeXtV2Tiny = ConvNextV2Tiny
ConvNeXtV2Base = ConvNextV2Base
ConvNeXtV2Large = ConvNextV2Large
ConvNeXtV2Huge = ConvNextV2Huge
