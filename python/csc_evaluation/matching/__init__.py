"""Matching: authorities on trends before go-live, children by coarsened exact matching."""
