"""The HTTP service, measured side by side with its parts and its peers."""
