"""Measures the HTTP service side by side with its parts and with other servers."""
