"""The models that can be loaded: the shipped catalogue, the operator's model folder, uploads. Reads no weights."""

from __future__ import annotations

import tomllib
from pathlib import Path

from service.errors import KerascopeError, ModelNotLoadable, UnknownModel, nearest
from service.models.files.entries import entry_at
from service.models.files.folder import ModelFolder, Seen
from service.models.files.spec import ModelSpec
from service.models.files.uploads.store import UploadStore

CATALOGUE = Path(__file__).parents[1] / "catalogue"


class Library:
    """The loadable models. New and changed files need no restart; what has not changed is not read again."""

    def __init__(
        self,
        models_dir: Path | None = None,
        uploads: UploadStore | None = None,
        shipped: dict[str, ModelSpec] | None = None,
    ) -> None:
        self.uploads = uploads
        self._shipped = read_catalogue() if shipped is None else shipped
        self._folder = ModelFolder(models_dir) if models_dir else None

    def specs(self) -> dict[str, ModelSpec]:
        """Every readable spec by ID but uploaded ones; one in the folder goes before a shipped one of the same ID."""
        return self.all().specs

    def broken(self) -> dict[str, str]:
        """Folder entries that are no valid spec, and why."""
        return self.all().broken

    def all(self) -> Seen:
        """`specs` and `broken` of one look, and what is wrong with the files of some specs."""
        seen = self._folder.look() if self._folder else Seen()
        return Seen(self._shipped | seen.specs, seen.broken, seen.problems)

    def get(self, model_id: str) -> ModelSpec:
        """The spec of an ID; that of an upload has the version in its own ID.

        Raises UnknownModel with the closest IDs, ModelNotLoadable when the spec itself is broken.
        """
        if self.uploads and (uploaded := self.uploads.spec(model_id)):
            return uploaded
        if self._folder and (spec := self._folder.get(model_id)):
            return spec
        if model_id in self._shipped:
            return self._shipped[model_id]
        broken = self._folder.last.broken if self._folder else {}
        if model_id in broken:
            raise ModelNotLoadable(broken[model_id])
        known = self._shipped | (self._folder.last.specs if self._folder else {})
        raise UnknownModel(f"there is no model {model_id!r}{nearest(model_id, known)}")

    def find(self, model_id: str) -> ModelSpec | None:
        """`get`, or None for what cannot be had."""
        try:
            return self.get(model_id)
        except KerascopeError:
            return None


def read_catalogue() -> dict[str, ModelSpec]:
    """The shipped specs: a folder for each model with files of its own, and the families of keras.applications."""
    found = [entry_at(path.parent) for path in sorted(CATALOGUE.glob("*/model.toml"))]
    specs = [spec for spec in found if isinstance(spec, ModelSpec)]
    families = tomllib.loads((CATALOGUE / "applications.toml").read_text(encoding="utf-8"))["model"]
    specs += [
        ModelSpec(**{"source": "application", "weights": "imagenet", "labels": "imagenet", **item}) for item in families
    ]
    return {spec.id: spec for spec in specs}
