"""Commands of `dl-techniques` that this distribution brings."""
