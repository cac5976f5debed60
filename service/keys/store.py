"""The file of API keys: changed by the command, read by the service whenever it is another."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import InvalidParameter, KeysUnavailable, UnknownKey
from service.errors.validation import field_errors, in_one
from service.files import replacing
from service.keys.key import Key, digest_of, id_of

log = structlog.get_logger(__name__)

NAME = "keys.json"


class KeyFile(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(extra="forbid")

    keys: list[Key]


class KeyStore:
    """Looks at the file's identity on every question and reads it only when that has changed.

    A file that is damaged, or gone after there were keys, leaves no key valid and the service guarded.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        self._identity: tuple[int, ...] | None = None
        self._keys: Mapping[str, Key] = {}
        self._guarded = False

    def guarded(self) -> bool:
        """Whether there are, or were, keys: valid, expired, revoked or unreadable."""
        self._look()
        return self._guarded

    def find(self, given: str) -> Key | None:
        """The valid key that was given; None for any other text."""
        self._look()
        key = self._keys.get(id_of(given) or "")
        if key is None or not hmac.compare_digest(key.digest, digest_of(given)):
            return None
        return key if key.state(datetime.now(UTC)) == "valid" else None

    def all(self) -> list[Key]:
        """Every key, the oldest first. Raises KeysUnavailable for a file that cannot be read."""
        return sorted(_read(self._path).values(), key=lambda key: (key.created, key.id))

    def add(self, key: Key) -> None:
        """Raises KeysUnavailable for a file that cannot be read or written."""
        with self._changing() as keys:
            if key.id in keys:
                raise InvalidParameter(f"there is a key {key.id!r} already; make another")
            keys[key.id] = key

    def revoke(self, key_id: str) -> Key:
        """Refuses the key from now on. Raises UnknownKey, or KeysUnavailable for a file that is not to be used."""
        with self._changing() as keys:
            if key_id not in keys:
                raise UnknownKey(f"there is no key {key_id[:40]!r}; `kerascope keys list` shows them all")
            known = keys[key_id]
            keys[key_id] = known.model_copy(
                update={"revoked": known.revoked or datetime.now(UTC).replace(microsecond=0)}
            )
            return keys[key_id]

    def _look(self) -> None:
        try:
            found = self._path.stat()
            identity: tuple[int, ...] = (found.st_ino, found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            self._keys, self._identity = {}, None
            return
        except OSError:
            identity = ()
        if identity == self._identity:
            return
        try:
            self._keys = _read(self._path)
        except KeysUnavailable as error:
            self._keys = {}
            log.error("no key is valid", reason=error.detail)
        self._guarded = True
        self._identity = identity

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        try:
            # A soft lock is none of the kernel's: it would stay when its holder is killed.
            with FileLock(self._folder / f"{NAME}.lock", mode=0o600, fallback_to_soft=False):
                keys = _read(self._path)
                yield keys
                with replacing(self._path, mode=0o600) as fresh:
                    fresh.write_bytes(KeyFile(keys=list(keys.values())).model_dump_json(indent=1).encode())
        except OSError as error:
            raise KeysUnavailable(f"the key file {str(self._path)!r} cannot be written: {error.strerror}") from None


def _read(path: Path) -> dict[str, Key]:
    try:
        found = KeyFile.model_validate_json(path.read_bytes()).keys
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise KeysUnavailable(f"the key file {str(path)!r} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        # Without the values: they are digests of keys.
        wrong = in_one(field_errors(error.errors(include_input=False), KeyFile)[:1])
        raise KeysUnavailable(f"the key file {str(path)!r} is damaged: {wrong}") from None
    return {key.id: key for key in found}
