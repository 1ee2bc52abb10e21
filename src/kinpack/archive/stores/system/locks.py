"""Locks: who writes holds a shared one, who cleans up an exclusive one; Windows has none."""

from __future__ import annotations

import errno

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = frozenset(
    {errno.ENOLCK, errno.ENOSYS, errno.EBADF, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP}
)


def lock_alone(descriptor: int) -> bool | None:
    """Try to lock an open folder or file for oneself, without waiting.

    Args:
        descriptor: what is open; the lock goes when it is closed, also by a kill.

    Returns:
        True if locked, False if somebody else holds a lock, ``None`` where there are no locks.

    Raises:
        OSError: the system refuses.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


def lock_shared(descriptor: int) -> None:
    """Lock an open folder together with others, waiting for whoever holds it alone.

    Args:
        descriptor: what is open; a lock that it holds alone becomes a shared one.

    Raises:
        OSError: the system refuses.
    """
    fcntl.flock(descriptor, fcntl.LOCK_SH)
