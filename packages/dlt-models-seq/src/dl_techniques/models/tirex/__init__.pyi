from dl_techniques.models.tirex.slstm_block import SLSTMBlock as SLSTMBlock
from dl_techniques.models.tirex.slstm_cell import SLSTMCell as SLSTMCell
from dl_techniques.models.tirex.tirex import TiRex as TiRex
from dl_techniques.models.tirex.tirex_core import TiRexCore as TiRexCore

__all__ = [
    "SLSTMBlock",
    "SLSTMCell",
    "TiRex",
    "TiRexCore",
]
