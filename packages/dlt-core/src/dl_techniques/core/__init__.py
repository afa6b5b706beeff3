"""The contract, the registry, safe saving and the conformance kit of dl_techniques.

Importing this package imports neither Keras nor a backend; a name does, when it needs to.
"""

from dl_techniques.core.lazy import serve

_NAMES = {
    "contract.component": ("component", "declaration_of"),
    "contract.bases": (
        "Component",
        "Constraint",
        "Initializer",
        "Layer",
        "Loss",
        "Metric",
        "Model",
        "Regularizer",
    ),
    "contract.bounds": (
        "Bound",
        "Count",
        "Fraction",
        "NonNegativeNumber",
        "PositiveNumber",
        "Whole",
        "at_least",
        "is_number",
        "require_bound",
    ),
    "contract.example": ("Example", "Fresh", "Rejection", "TensorSpec"),
    "contract.identifier": ("KINDS",),
    "contract.keras_types": (
        "Activation",
        "ActivationLike",
        "ConstraintLike",
        "InitializerLike",
        "LayerLike",
        "RegularizerLike",
        "Shape",
        "Tensor",
        "Variable",
    ),
    "contract.precision": ("upcast",),
    "entry": ("Entry", "Problem"),
    "errors": (
        "AmbiguousComponent",
        "ComponentError",
        "ComponentImportError",
        "ContractMismatch",
        "DLTechniquesError",
        "DuplicateComponent",
        "ModelFileError",
        "ModelFileProblems",
        "RegistryProblems",
        "UnknownComponent",
        "UntrustedComponent",
    ),
    "registry.hooks": ("hookimpl",),
    "registry.registry": ("Registry", "registry"),
    "files.report": ("inspect_model",),
    "files.load": ("load_model",),
    "files.save": ("save_model",),
    "parts": ("resolve",),
    "__about__": ("__version__", "CONTRACT"),
}
__getattr__, __dir__, __all__ = serve(
    __name__,
    {name: f"{__name__}.{module}:{name}" for module, names in _NAMES.items() for name in names},
)
