"""The state of the service in one process, which every request handler can use."""

from __future__ import annotations

import asyncio

from service.api_keys import ApiKeys
from service.bundle.manifest import Manifest
from service.bundle.reading import Bundle
from service.bundle.signature import load_verified
from service.engine.autotune import load_tuning
from service.engine.session_config import TuningResult
from service.metrics import Metrics
from service.monitoring.shadow import Shadow, start_challenger
from service.served_model import ServedModel
from service.server.runtime_directory import RuntimeDirectory
from service.server.upload_quota import UploadQuota
from service.settings import Settings


class ServiceState:
    """The objects that all requests of one process share, and whether the process is draining.

    Args:
        settings: the settings of this process.
        bundle: a verified bundle, whose model is served until the first reload.
        tuning: the number of sessions, of threads per session, and of pictures per batch.
        runtime_directory: the directory that the workers of this service share; None = the workers
            share nothing.

    Raises:
        BundleError: the model cannot be loaded or does not reproduce its golden answers.
        SettingError: the file with API keys cannot be used, or GRAFT_DEVICE requires a GPU that
            cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        bundle: Bundle,
        tuning: TuningResult,
        runtime_directory: RuntimeDirectory | None = None,
    ) -> None:
        self.settings = settings
        self.runtime_directory = runtime_directory
        self.metrics = Metrics(shared=runtime_directory)
        self.api_keys = ApiKeys(settings.keys())
        self.upload_quota = UploadQuota(settings.max_upload_bytes)
        self.shadow: Shadow | None = None
        if settings.shadow:
            challenger, share = start_challenger(settings), settings.shadow_share
            self.shadow = Shadow(challenger, share, self.metrics, lambda: self.model.is_calm)
        self.model = ServedModel(bundle, tuning, settings, self.metrics, self.shadow)
        self.is_draining = False
        self._reload_lock = asyncio.Lock()

    @property
    def versions(self) -> str:
        """The version of the served model; after a `+`, that of the challenger if there is one."""
        version = self.model.manifest.version
        return f"{version}+{self.shadow.challenger.manifest.version}" if self.shadow else version

    async def reload(self) -> Manifest:
        """Load the model that GRAFT_MODEL names now, check its golden answers, and serve it.

        Until the new model is loaded, the current model answers requests. The service keeps the
        current model if anything fails, or if GRAFT_MODEL still names the same model. In any case,
        the challenger that GRAFT_SHADOW names is loaded too; if that fails, it is logged.

        Returns:
            The manifest of the model that was served before.

        Raises:
            BundleError: the new model is missing, damaged or not signed as GRAFT_VERIFY_KEY
                requires, or does not reproduce its golden answers.
            SettingError: the public key of GRAFT_VERIFY_KEY can no longer be read, or the GPU that
                GRAFT_DEVICE requires can no longer be used.
        """
        async with self._reload_lock:
            old = self.model
            try:
                new = await asyncio.to_thread(self._load_if_changed)
                if new is not None:
                    self.model = new
                    await asyncio.to_thread(old.close)
            finally:
                if self.shadow:
                    await asyncio.to_thread(self.shadow.reload, self.settings)
            return old.manifest

    def close(self) -> None:
        """End the challenger, finish all admitted pictures, then stop the model's threads."""
        if self.shadow:
            self.shadow.close()
        self.model.close()

    def _load_if_changed(self) -> ServedModel | None:
        bundle = load_verified(self.settings.model, self.settings.verify_key, "GRAFT_MODEL")
        if bundle.manifest.id == self.model.manifest.id:
            return None
        # Do not autotune here: while requests are running, all measurements would be too slow.
        previous = self.model.tuning.model_copy(update={"curve": ()})
        tuning = load_tuning(bundle, self.settings) or previous
        return ServedModel(bundle, tuning, self.settings, self.metrics, self.shadow)
