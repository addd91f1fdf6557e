"""The Open Inference Protocol v2, for the clients of KServe, Triton and others.

In: a body in JSON or in the binary tensor extension. Out: the answer in the same form.
May use: service.http and everything below it.
"""
