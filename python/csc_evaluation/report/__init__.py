"""Reports: pages a person can read, made from results tables."""
