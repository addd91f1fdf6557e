"""What a backbone is; `families` has the backbones, `registry` finds them by name."""
