"""Compares the HTTP service with its parts and with other servers."""
