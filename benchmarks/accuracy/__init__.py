"""Compares the accuracy of Graft with that of other tools, on the same pictures and weights."""
