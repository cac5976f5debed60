"""Finds the input of a network that is the image, and its shape; or why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import ModelNotLoadable
from service.models.files.spec import ModelSpec
from service.models.graph.graph import Graph, Tensor
from service.models.graph.preprocess import InputShape

DEFAULT_SIZE_PX = 224
MAX_CHANNELS = 64


@dataclass(frozen=True)
class ImageInput:
    """`tensor` is the image's value in the graph, `shape` what is fed there. `obstacle` says, as a sentence, why no
    picture can be, and then `shape` is only a stand-in."""

    tensor: Tensor
    shape: InputShape
    notes: tuple[str, ...] = ()
    obstacle: str | None = None


def find_input(graph: Graph, spec: ModelSpec) -> ImageInput:
    """Open sizes are the spec's, else 224 px. Raises ModelNotLoadable where spec and file contradict each other."""
    tensor = next((tensor for tensor in graph.inputs if _obstacle(tensor) is None), graph.inputs[0])
    if len(graph.inputs) != 1:
        names = ", ".join(f"{each.path!r} {list(each.shape[1:])}" for each in graph.inputs)
        why = f"the model takes {len(graph.inputs)} inputs ({names}), and methods take one image and nothing beside it"
        return ImageInput(tensor, _stand_in(), obstacle=why)
    if obstacle := _obstacle(tensor):
        return ImageInput(tensor, _stand_in(), obstacle=obstacle)
    return _of_image(graph, tensor, spec)


def _of_image(graph: Graph, tensor: Tensor, spec: ModelSpec) -> ImageInput:
    sizes = tensor.shape[1:]
    height = spec.input.height or sizes[0] or DEFAULT_SIZE_PX
    width = spec.input.width or sizes[1] or DEFAULT_SIZE_PX
    for name, stated, fixed in (("height", height, sizes[0]), ("width", width, sizes[1])):
        if fixed is not None and stated != fixed:
            raise ModelNotLoadable(f"the spec of model {spec.id!r} says {name} {stated}, its file says {fixed}")
    notes = []
    if None in sizes[:2] and not (spec.input.height and spec.input.width):
        notes.append(
            f"the file leaves the input size open; pictures are fed at {height}×{width} px, which [input] in "
            "model.toml can change, and arrays with preprocess=false at their own size"
        )
    shape = InputShape(
        height,
        width,
        (sizes[2] or 3) if len(sizes) == 3 else 1,
        rank3=len(sizes) == 2,
        open_height=sizes[0] is None,
        open_width=sizes[1] is None,
        channels_first=tensor in graph.channels_first,
    )
    return ImageInput(tensor, shape, tuple(notes))


def _obstacle(tensor: Tensor) -> str | None:
    """Why an input is no image, as a sentence; None where it is one."""
    sizes = tensor.shape[1:]
    if len(sizes) == 4:
        return (
            f"the model takes volumes or sequences of pictures of the shape {_said(sizes)}, and methods take pictures"
        )
    if len(sizes) not in (2, 3):
        return f"the model's input has the shape {_said(sizes)}, and methods take pictures: (height, width, channels)"
    if len(sizes) == 3 and sizes[2] is not None and sizes[2] > MAX_CHANNELS:
        return f"the model's input has {sizes[2]} channels, and methods take pictures of at most {MAX_CHANNELS}"
    return None


def _said(sizes: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in sizes)})"


def _stand_in() -> InputShape:
    return InputShape(1, 1, 1)
