"""What a backbone is: one file per family, found by the registry."""
