"""The pretrained networks. `families` defines them, `registry` finds them by name."""
