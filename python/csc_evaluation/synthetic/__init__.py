"""A synthetic England in the formats of returns and extracts, with a known effect."""
