"""The running sum of a window's profiles, so that each profile is read once and not every time.

Profiles merge exactly, so the sum of those read before plus the new ones is the sum of all, to
the last bit. A rollup says which profiles, in which version, it is the sum of. It is used only if
all of them are still there unchanged, and made anew otherwise: it can be deleted at any time, and
of two evaluations that write at once either's may stay.

Layout of format version 1: ``b"DGRU"``, the version as one byte, 16 bytes of checksum over the
rest, the number of profiles (uint32, little-endian), a sorted digest of 16 bytes for each, and
the sum as ``driftgauge.profile.codec`` encodes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from driftgauge.errors import ObjectNotFoundError, ProfileError, StoreError
from driftgauge.profile.codec import decode_profile, encode_profile, merge_encoded
from driftgauge.profile.profile import Profile
from driftgauge.profile.spec import ProfileSpec
from driftgauge.store import MonitorStore, StoredPart, StoredProfile
from driftgauge.windows import Window
from lambdas.runtime import logger, read_many

# Windows of so many profiles or fewer are merged from them every time: a rollup would take two
# requests to save so few.
FEW_PROFILES = 8
_MAGIC = b"DGRU"
_VERSION = 1
_DIGEST_BYTES = 16
_NUMBER_BYTES = 4


def part_digest(stored: StoredPart) -> bytes:
    """Return the 16 bytes that stand for one version of a stored part."""
    return _digest(f"{stored.key} {stored.tag}".encode())


def seal_sum(magic: bytes, data: bytes, digests: frozenset[bytes]) -> bytes:
    """Put encoded data together with the digests of what it is the sum of."""
    body = b"".join((len(digests).to_bytes(_NUMBER_BYTES, "little"), *sorted(digests), data))
    return magic + bytes([_VERSION]) + _digest(body) + body


def open_sum(magic: bytes, data: bytes) -> tuple[bytes, frozenset[bytes]]:
    """Return what ``seal_sum`` put together.

    Raises
    ------
    StoreError
        If the bytes are of another format than this version writes, or damaged.
    """
    head = len(magic) + 1
    if data[:head] != magic + bytes([_VERSION]):
        raise StoreError("it does not start as a rollup of this version does")
    body = data[head + _DIGEST_BYTES :]
    if data[head : head + _DIGEST_BYTES] != _digest(body):
        raise StoreError("its checksum is wrong: it is damaged or cut off")
    number = int.from_bytes(body[:_NUMBER_BYTES], "little")
    end = _NUMBER_BYTES + number * _DIGEST_BYTES
    if end > len(body):
        raise StoreError("it is too short for what it says it is of")
    digests = frozenset(
        body[at : at + _DIGEST_BYTES] for at in range(_NUMBER_BYTES, end, _DIGEST_BYTES)
    )
    return body[end:], digests


def encode_rollup(profile: Profile, digests: frozenset[bytes]) -> bytes:
    """Write the sum of the profiles that the digests stand for."""
    return seal_sum(_MAGIC, encode_profile(profile), digests)


def decode_rollup(data: bytes, spec: ProfileSpec) -> tuple[Profile, frozenset[bytes]]:
    """Read a sum of profiles, and which ones it is of.

    Raises
    ------
    ProfileError
        If the bytes are not a rollup of a format this version reads, are damaged, or were
        counted against another specification than ``spec``.
    """
    try:
        encoded, digests = open_sum(_MAGIC, data)
    except StoreError as error:
        raise ProfileError(str(error)) from error
    return decode_profile(encoded, spec), digests


def merge_stored(
    store: MonitorStore, some: Sequence[StoredProfile], spec: ProfileSpec, *, window: Window
) -> Profile:
    """Merge the stored profiles of one window, variant and baseline.

    The result is that of merging all of them, whatever the rollup holds.

    Parameters
    ----------
    store : MonitorStore
        Where the profiles and the rollup are.
    some : sequence of StoredProfile
        All profiles of the window that were found, of one variant and baseline.
    spec : ProfileSpec
        What they were counted against.
    window : Window
        The window.

    Raises
    ------
    ProfileError
        If one of the profiles cannot be read; a rollup that cannot be is not an error.
    """
    if len(some) <= FEW_PROFILES:
        return merge_encoded(read_many(store, (one.key for one in some)), spec)
    key = store.rollup_key(baseline=some[0].baseline, variant=some[0].variant, window=window)
    wanted = {part_digest(one): one.key for one in some}
    profile, merged = _read(store, key, spec)
    if not merged <= wanted.keys():
        # One of its profiles was replaced or is gone, and cannot be taken out of the sum.
        profile, merged = Profile.empty(spec), frozenset()
    new = [path for digest, path in wanted.items() if digest not in merged]
    if new:
        profile = profile + merge_encoded(read_many(store, new), spec)
        _write(store, key, profile, frozenset(wanted))
    return profile


def _read(store: MonitorStore, key: str, spec: ProfileSpec) -> tuple[Profile, frozenset[bytes]]:
    try:
        return decode_rollup(store.objects.read(key), spec)
    except ObjectNotFoundError:
        pass
    except (ProfileError, StoreError) as error:
        logger.warning("rollup made anew", key=key, reason=str(error))
    return Profile.empty(spec), frozenset()


def _write(store: MonitorStore, key: str, profile: Profile, digests: frozenset[bytes]) -> None:
    # Without it the next evaluation reads more, and is as right as this one.
    try:
        store.objects.write(key, encode_rollup(profile, digests))
    except (ProfileError, StoreError) as error:
        logger.warning("rollup not written", key=key, reason=str(error))


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=_DIGEST_BYTES).digest()
