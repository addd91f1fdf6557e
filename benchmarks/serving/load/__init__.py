"""Load generators (open-loop and closed-loop), their pictures, and the expected answers."""
