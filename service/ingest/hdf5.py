"""Every object of an HDF5 file, looked at by its kind before a value is read: plain groups and plain arrays alone.

HDF5 can point out of a file, make a small file stand for a huge array, and load plug-ins for filters it does not know.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import h5py

from service.ingest.verdict import Refused

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_RANK = 8
MAX_OBJECTS = 100_000
MAX_DEPTH = 32
MAX_ATTRIBUTES = 64
MOST_RATIO = 100
FREE_BYTES = 64 * 1024**2
# gzip, shuffle, fletcher32: those that every HDF5 library has.
FILTERS = {1, 2, 3}
LAYOUTS = {h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED}
NUMBERS = {h5py.h5t.INTEGER, h5py.h5t.FLOAT}
Shapes = dict[str, tuple[tuple[int, ...], str]]


@dataclass
class _Walk:
    max_bytes: int
    max_attribute_bytes: int
    arrays: Shapes = field(default_factory=dict)
    seen: set[tuple[int, int]] = field(default_factory=set)
    declared: int = 0
    stored: int = 0

    def group(self, group: h5py.Group, path: str, depth: int) -> None:
        self.once(group, path)
        self.attributes(group, path)
        if depth > MAX_DEPTH:
            raise Refused("model.bad_hdf5", f"the groups of the file are nested deeper than {MAX_DEPTH} levels")
        for name in list(group):
            inner = f"{path}/{name.decode('utf-8', 'replace')}"
            if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                raise Refused(
                    "model.bad_hdf5", f"{inner[:200]!r} is a link; only what lies in the file itself is taken"
                )
            item = h5py.h5o.open(group, name)
            if isinstance(item, h5py.h5g.GroupID):
                self.group(item, inner, depth + 1)
            elif isinstance(item, h5py.h5d.DatasetID):
                self.once(item, inner)
                self.attributes(item, inner)
                self.array(item, inner)
            else:
                raise Refused("model.bad_hdf5", f"{inner[:200]!r} is neither a group nor an array")

    def once(self, item: h5py.Dataset, path: str) -> None:
        info = h5py.h5o.get_info(item)
        place = (info.fileno, info.addr)
        if place in self.seen:
            raise Refused("model.bad_hdf5", f"{path[:200]!r} stands in the file under two names")
        self.seen.add(place)
        if len(self.seen) > MAX_OBJECTS:
            raise Refused("model.too_large", f"the file holds more than {MAX_OBJECTS} objects")

    def attributes(self, item: h5py.Dataset, path: str) -> None:
        if h5py.h5a.get_num_attrs(item) > MAX_ATTRIBUTES:
            raise Refused("model.too_large", f"{path[:200] or '/'!r} has more than {MAX_ATTRIBUTES} attributes")
        for place in range(h5py.h5a.get_num_attrs(item)):
            attribute = h5py.h5a.open(item, index=place)
            if attribute.get_type().get_class() not in {*NUMBERS, h5py.h5t.STRING}:
                raise Refused("model.bad_hdf5", f"an attribute of {path[:200] or '/'!r} is neither text nor a number")
            points = attribute.get_space().get_simple_extent_npoints()
            if points * attribute.get_type().get_size() > self.max_attribute_bytes:
                raise Refused("model.too_large", f"an attribute of {path[:200] or '/'!r} is too large")

    def array(self, item: h5py.Dataset, path: str) -> None:
        plist, kind, shape = item.get_create_plist(), item.get_type(), item.shape
        if kind.get_class() not in NUMBERS:
            raise Refused("model.bad_hdf5", f"{path[:200]!r} is no array of numbers")
        if plist.get_external_count() or plist.get_layout() not in LAYOUTS:
            raise Refused("model.bad_hdf5", f"{path[:200]!r} has its values in another file")
        filters = {plist.get_filter(place)[0] for place in range(plist.get_nfilters())}
        if not filters <= FILTERS:
            raise Refused("model.bad_hdf5", f"{path[:200]!r} is packed by a filter that is not taken")
        if len(shape) > MAX_RANK:
            raise Refused("model.bad_hdf5", f"{path[:200]!r} has {len(shape)} dimensions")
        self.declared += math.prod(shape) * kind.get_size()
        self.stored += item.get_storage_size()
        if self.declared > min(self.max_bytes, FREE_BYTES + MOST_RATIO * self.stored):
            raise Refused(
                "model.too_large",
                f"the arrays of the file are {self.declared} bytes or more, with {self.stored} stored",
            )
        self.arrays[path] = (tuple(shape), h5py.h5t.py_create(kind.dtype).dtype.name)


def arrays(path: Path, max_bytes: int, max_attribute_bytes: int) -> Shapes:
    """Shape and dtype of every array by its path. `max_bytes` bounds them all together. Raises Refused."""
    with path.open("rb") as file:
        if file.read(8) != MAGIC:
            raise Refused("model.unreadable", "the file is no HDF5, or has something before it")
    walk = _Walk(max_bytes, max_attribute_bytes)
    try:
        with h5py.File(path, "r") as opened:
            walk.group(opened.id, "", 0)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise Refused("model.unreadable", f"the HDF5 file cannot be read: {str(error)[:200]}") from None
    return walk.arrays
