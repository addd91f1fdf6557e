"""The server that runs the application: its port, its connections and its workers.

In: BentoML's configuration, the environment, and uvicorn's connections. Out: limits on connections
and on the memory of request bodies, and a directory through which the workers share their metrics
and announce reloads.
May use: service.{bundle, errors, system}.
"""
