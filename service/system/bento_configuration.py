"""BentoML's own configuration, as far as it matters here."""

from __future__ import annotations

from typing import Any, Final

from service.system.resources import usable_cores

SERVICE: Final = "graft"


def container() -> Any:
    """BentoML's configuration, by a private name: `bentoml.save_config`, its only public reader,
    fails."""
    from bentoml._internal.configuration.containers import BentoMLContainer

    return BentoMLContainer


def worker_count() -> int:
    """Processes that answer, 1 where nothing is said: `workers` of service `graft`.

    Known once BentoML has the service's part of its configuration: when it starts, and in workers.
    """
    services = container().config.get().get("services", {})
    workers = services.get(SERVICE, {}).get("workers")
    return usable_cores() if workers == "cpu_count" else int(workers or 1)
