"""Compares the HTTP service with other servers, and with the same work without a server."""
