"""What a backbone is. `families` defines the backbones, `registry` finds them by name."""
