"""BentoML's own configuration, as far as the service depends on it."""

from __future__ import annotations

from typing import Any, Final

from service.system.resources import usable_cores

SERVICE_NAME: Final = "graft"


def bentoml_container() -> Any:
    """Return BentoML's configuration container, by a private name.

    `bentoml.save_config`, its only public reader, fails (docs/private_interfaces.md).
    """
    from bentoml._internal.configuration.containers import BentoMLContainer

    return BentoMLContainer


def worker_count() -> int:
    """Return `workers` of service `graft`: the number of worker processes; 1 by default.

    BentoML knows it in workers, and in their parent once the service starts.
    """
    services = bentoml_container().config.get().get("services", {})
    workers = services.get(SERVICE_NAME, {}).get("workers")
    return usable_cores() if workers == "cpu_count" else int(workers or 1)
