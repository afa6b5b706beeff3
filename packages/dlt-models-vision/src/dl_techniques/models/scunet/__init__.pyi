from dl_techniques.models.scunet.scunet import SCUNet as SCUNet
