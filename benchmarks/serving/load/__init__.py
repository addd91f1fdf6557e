"""Load on the servers: open-loop and closed-loop, its pictures, and the expected answers."""
