"""What every domain error is made of, and words that help in its sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self


@dataclass(frozen=True)
class FieldError:
    """One invalid input: `loc` is the path to it (`("query", "alpha")`), `msg` one sentence."""

    loc: tuple[str, ...]
    msg: str


class KerascopeError(Exception):
    """Something went wrong."""

    def __init__(self, detail: str, *, errors: Sequence[FieldError] = (), retry_after_s: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s

    def again(self) -> Self:
        """Makes the same error anew, which holds nothing of what was computed when it was first raised."""
        return type(self)(self.detail, errors=self.errors, retry_after_s=self.retry_after_s)

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or cls.__name__).splitlines()[0].rstrip(".")


# Below, one name of one's own is offered for another: 'text' for 'notes'.
SIMILAR = 0.6
SHORTEST_PART = 3
# What is longer is no slip of the pen, and is not compared.
LONGEST_NAME = 200


def nearest(wrong: str, valid: Iterable[str], count: int = 3) -> str:
    """`"; the closest are 'a', 'b'"`, or `""` when nothing comes near. For the end of an error's sentence.

    Names that hold the wrong one as whole words go first, then those that hold it as a part; similar ones are for when
    none does.
    """
    originals = {name.lower(): name for name in valid}
    asked = wrong.lower() if len(wrong) <= LONGEST_NAME else ""
    words = _words(asked)
    whole = [name for name in originals if words != "__" and words in _words(name)]
    part = [name for name in originals if len(asked) >= SHORTEST_PART and asked in name]
    close = [*sorted(whole, key=len), *sorted(part, key=len)]
    close = close or get_close_matches(asked, originals, n=count, cutoff=SIMILAR)
    names = [repr(originals[name]) for name in dict.fromkeys(close)][:count]
    if not names:
        return ""
    return f"; the closest {'is' if len(names) == 1 else 'are'} {', '.join(names)}"


def _words(name: str) -> str:
    """`_egyptian_cat_`, whatever stood between the words."""
    return "_" + "_".join(re.findall(r"[^\W_]+", name)) + "_"
