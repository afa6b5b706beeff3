from dl_techniques.models.coshnet.coshnet import CoShNet as CoShNet
