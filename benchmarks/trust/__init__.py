"""Measures how far the answers of models can be trusted, over several seeds: `make bench-trust`."""
