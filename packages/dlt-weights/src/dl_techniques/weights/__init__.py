"""Pretrained weights for any Keras model: readers of files, rules, cache, preprocessing.

Importing this package imports neither Keras nor a backend; a name does, when it needs to.
"""

from dl_techniques.core.lazy import serve

_NAMES = {
    "catalog:find_weights": "find",
    "catalog:list_weights": "list",
    "deployment.compiled:Compiled": "Compiled",
    "deployment.compiled:compiled": "compiled",
    "deployment.deploy:Deployment": "Deployment",
    "deployment.deploy:deploy": "deploy",
    "download:fetch": "fetch",
    "mirror:mirror": "mirror",
    "mirror:verify": "verify",
    "entry:WeightEntry": "WeightEntry",
    "entry:HubSource": "HubSource",
    "entry:UrlSource": "UrlSource",
    "entry:WheelSource": "WheelSource",
    "errors:AmbiguousWeights": "AmbiguousWeights",
    "errors:HashMismatch": "HashMismatch",
    "errors:LicenceNotAccepted": "LicenceNotAccepted",
    "errors:UnknownWeights": "UnknownWeights",
    "errors:UnreadableFile": "UnreadableFile",
    "errors:WeightsError": "WeightsError",
    "errors:WeightsMismatch": "WeightsMismatch",
    "errors:WeightsUnavailable": "WeightsUnavailable",
    "preprocess:Preprocess": "Preprocess",
    "preprocess:Preprocessor": "Preprocessor",
    "preprocessing_model:preprocessing_model": "preprocessing_model",
    "readers.opening:open_weights": "open",
    "rules.codes:BATCH_NORM": "BATCH_NORM",
    "rules.codes:CONV": "CONV",
    "rules.codes:COPY": "COPY",
    "rules.codes:DEPTHWISE": "DEPTHWISE",
    "rules.codes:FoldBatchNorm": "FoldBatchNorm",
    "rules.codes:JoinThree": "JoinThree",
    "rules.codes:LINEAR": "LINEAR",
    "rules.codes:NORM": "NORM",
    "rules.codes:Padded": "Padded",
    "rules.codes:Positions": "Positions",
    "rules.codes:SplitThree": "SplitThree",
    "rules.codes:TRANSPOSED_CONV": "TRANSPOSED_CONV",
    "rules.layout:Layout": "Layout",
    "rules.layout:Rule": "Rule",
    "rules.load:export": "export",
    "rules.load:load": "load",
    "rules.report:Report": "Report",
    "__about__:__version__": "__version__",
}
__getattr__, __dir__, __all__ = serve(
    __name__, {name: f"{__name__}.{address}" for address, name in _NAMES.items()}
)
