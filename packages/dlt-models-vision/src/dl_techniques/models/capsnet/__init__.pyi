from dl_techniques.models.capsnet.capsnet import CapsNet as CapsNet
