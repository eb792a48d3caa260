"""The hot path: decode a record, validate it against its contract, explain what is wrong, mask. No Beam."""
