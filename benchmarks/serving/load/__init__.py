"""Load generators (open-loop and closed-loop), their pictures, and measurements that use them."""
