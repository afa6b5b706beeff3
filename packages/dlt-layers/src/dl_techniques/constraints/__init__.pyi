from dl_techniques.constraints.value_range_constraint import ValueRangeConstraint as ValueRangeConstraint

__all__ = [
    "ValueRangeConstraint",
]
