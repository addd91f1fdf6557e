"""Read the parts of BentoML's own configuration on which the service depends."""

from __future__ import annotations

from typing import Any, Final

from service.system.resources import usable_cores

SERVICE_NAME: Final = "graft"


def bentoml_container() -> Any:
    """Return BentoML's configuration container, which is available only under a private name.

    `bentoml.save_config`, the only public way to read the configuration, fails
    (docs/decisions/private-interfaces.md).
    """
    from bentoml._internal.configuration.containers import BentoMLContainer

    return BentoMLContainer


def worker_count() -> int:
    """Return the number of worker processes: the option `workers` of the service `graft`.

    The default is 1. Call this in a worker, or in the parent process while the service starts.
    Before that, the configuration is incomplete.
    """
    services = bentoml_container().config.get().get("services", {})
    workers = services.get(SERVICE_NAME, {}).get("workers")
    return usable_cores() if workers == "cpu_count" else int(workers or 1)
