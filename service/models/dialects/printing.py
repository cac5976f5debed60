"""Keras 3's own summary, on a page as wide as is asked for.

Keras prints its table on what is as wide as the terminal, or 80 columns where there is none, and what is wider is cut
off. Its own function is called, and given another page.
"""

from __future__ import annotations

import io
from functools import partial
from types import FunctionType, SimpleNamespace
from typing import Any

from keras.src.utils import summary_utils

_rich = summary_utils.rich
_own = summary_utils.print_summary


def printed(model: Any, width: int) -> str:
    """The text of `model.summary(line_length=width)` where lines of `width` fit."""
    page = partial(_rich.console.Console, file=io.StringIO(), width=width, height=1)
    shown = SimpleNamespace(console=SimpleNamespace(Console=page), table=_rich.table, markup=_rich.markup)
    # The function itself stays as it is for everybody else.
    wide = FunctionType(_own.__code__, {**_own.__globals__, "rich": shown}, argdefs=_own.__defaults__)
    text: list[str] = []
    wide(model, line_length=width, print_fn=text.append)
    return "".join(text)
