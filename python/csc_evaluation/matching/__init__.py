"""Matching: authorities on trends, children by coarsened exact matching."""
