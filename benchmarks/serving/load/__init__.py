"""What asks the servers: open-loop and closed-loop load, its pictures, and the answers expected."""
