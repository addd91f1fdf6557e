"""Find the fastest session configuration for a model on this machine, and cache it.

A configuration consists of three numbers: ONNX Runtime sessions, threads per session, and pictures
per batch. On a CPU, the fastest configuration is often many sessions of one thread with small
batches. On a GPU, it is often one session with large batches. Autotuning times the model, and
caches the result for each model, machine, device and version of ONNX Runtime. Settings such as
GRAFT_SESSIONS take precedence.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import tempfile
from pathlib import Path

from service.bundle.reading import Bundle
from service.engine.autotune_trials import run_trials
from service.engine.device import preferred_provider
from service.engine.onnx_session import onnxruntime_version
from service.engine.session_config import SessionConfig, TuningResult, choose_config
from service.errors import SettingError
from service.settings import Settings
from service.system.folders import cache_folder
from service.system.resources import processor_name

_log = logging.getLogger("bentoml.graft")  # a child of BentoML's logger, which shows INFO


def autotune(bundle: Bundle, settings: Settings) -> TuningResult:
    """Return the configuration from settings or the cache; if neither has one, time the model.

    Raises:
        BundleError: the model cannot be loaded or does not reproduce its golden answers.
        SettingError: the settings require a GPU that cannot be used.
    """
    result = load_tuning(bundle, settings)
    if result is None:
        measured = run_trials(bundle, settings.usable_threads(), settings.device)
        # Do not save the CPU's result if a GPU is preferred: the GPU may work at the next start.
        if measured.provider == preferred_provider(settings.device):
            _save(measured, bundle, settings)
        result = _apply_settings(measured, settings)
    return result


def load_tuning(bundle: Bundle, settings: Settings) -> TuningResult | None:
    """Return the configuration from settings or the cache; None = the model must be timed."""
    if len(_fixed_fields(settings)) == len(SessionConfig.model_fields):
        default = SessionConfig(sessions=1, session_threads=1, max_batch_size=1)
        untried = TuningResult(cores=settings.usable_threads(), curve=(), choice=default)
        return _apply_settings(untried, settings)
    try:
        content = _cache_path(bundle, settings).read_bytes()
        cached = TuningResult.model_validate_json(content)
    except (OSError, ValueError, SettingError):
        return None
    return _apply_settings(cached, settings)


def _fixed_fields(settings: Settings) -> dict[str, int]:
    """Return the fields of a SessionConfig that the settings fix, with their values."""
    names = SessionConfig.model_fields
    return {name: value for name in names if (value := getattr(settings, name))}


def _apply_settings(result: TuningResult, settings: Settings) -> TuningResult:
    """Return a copy of `result` whose choice agrees with the settings.

    The new choice is the best trial that agrees with the settings. If there is none, it is the old
    choice with the values that the settings fix.
    """
    fixed = _fixed_fields(settings)
    agreeing = [trial for trial in result.curve if fixed.items() <= trial.model_dump().items()]
    choice = choose_config(agreeing) if agreeing else result.choice.model_copy(update=fixed)
    return result.model_copy(update={"choice": choice})


def _cache_path(bundle: Bundle, settings: Settings) -> Path:
    """Return the path of the cached result; raise SettingError if there is no cache folder."""
    name = f"{bundle.manifest.version}-{_machine_hash(settings)}.json"
    return cache_folder() / "tuning" / name


def _save(result: TuningResult, bundle: Bundle, settings: Settings) -> None:
    try:
        path = _cache_path(bundle, settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as file:
            file.write(result.model_dump_json(indent=1).encode())
        Path(file.name).replace(path)
    except (OSError, SettingError) as error:
        _log.warning(
            "the result of autotuning cannot be saved (%s), so the model will be timed again at "
            "every start; set GRAFT_CACHE to a folder that this user can write to",
            error,
        )


def _machine_hash(settings: Settings) -> str:
    """Return a hash of this machine, its usable cores, the device and ONNX Runtime's version."""
    parts = [platform.node(), platform.machine(), processor_name(), str(settings.usable_threads())]
    parts += [preferred_provider(settings.device), onnxruntime_version()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
