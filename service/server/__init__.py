"""The server process around the service: its port, its connections, its workers.

In: BentoML's configuration, the environment, and uvicorn's connections. Out: bounded connections, a
bound on the memory of request bodies, and a directory in which all workers share metrics and news
of reloads.
May use: service.{bundle, errors, system}.
"""
