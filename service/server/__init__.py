"""What lies between BentoML's server and the service: its port, its limits, what workers share.

In: BentoML's configuration and uvicorn's connections. Out: bounded connections, and a directory in
which all workers of one service count together.
It also bounds the memory of request bodies.
May use: service.{bundle, errors, system}.
"""
