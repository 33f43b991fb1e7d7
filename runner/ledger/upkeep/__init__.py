"""A ledger looked at and put in order: listed, forgotten into a trash, merged, exported. It buys nothing."""
