"""Estimation: from a matched sample to estimates with cluster-robust inference."""
