"""Eviction: removes the least recently used record stores when new records need space."""

from __future__ import annotations

import shutil

from trainers.cache.leases import Leases

NO_LIMIT_BYTES = 1e12
"""Practically no limit, for commands that write only small records: they must not evict the records
of training runs."""


def make_room(
    leases: Leases, store: str, total_bytes: int, present_bytes: int, max_bytes: float
) -> bool:
    """Reserve room for the missing records of a store; evict other stores if necessary.

    The least recently used stores are evicted first. Stores that this run has used are evicted
    after all others. Stores that another run uses, or that this run is still filling, are never
    evicted. If all this does not make enough room, `store` itself is evicted too, with all its
    records, unless a run uses it.

    The caller must hold the lock of the cache.

    Args:
        leases: the leases of this run.
        store: the name of the store that needs room.
        total_bytes: size of all records that this run needs from the store.
        present_bytes: size of the part of these records that the store already has.
        max_bytes: the limit on the size of the whole cache.

    Returns:
        Whether there is room now. If not, nothing was removed and nothing was reserved.
    """
    others = leases.reserved_by_others()
    sizes = {
        path: sum(file.stat().st_size for file in path.iterdir())
        for path in leases.cache_folder.iterdir()
        if path.is_dir() and path != leases.folder
    }
    in_use = {name for name, size_bytes in leases.reserved.items() if size_bytes} | set(others)
    evictable = [path for path in sizes if path.name not in {store, *in_use}]
    evictable.sort(key=lambda path: (path.name in leases.reserved, path.stat().st_mtime))
    pending = {**leases.reserved, store: total_bytes - present_bytes}
    excess = sum((*sizes.values(), *others.values(), *pending.values())) - max_bytes
    own_path = leases.cache_folder / store
    if excess > sum(sizes[path] for path in evictable):
        if store in {*leases.reserved, *others} or own_path not in sizes:
            return False
        evictable.append(own_path)
        pending[store] = total_bytes
        if excess + present_bytes > sum(sizes[path] for path in evictable):
            return False
        excess += present_bytes
    for path in evictable:
        if excess > 0:
            shutil.rmtree(path)
            excess -= sizes[path]
    leases.reserve(store, pending[store])
    return True
