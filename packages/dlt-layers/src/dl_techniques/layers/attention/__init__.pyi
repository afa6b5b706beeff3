from dl_techniques.layers.attention.group_query_attention import GroupQueryAttention as GroupQueryAttention
GroupedQueryAttention = GroupQueryAttention

__all__ = [
    "GroupQueryAttention",
    "GroupedQueryAttention",
]
