"""An exception as a record: what is kept of one when it must outlive its process."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import cast

import attrs

__all__ = ["ErrorRecord", "behind", "consists_of", "describe", "leaves", "type_name"]

# A traceback is for people; past this it only fills the disk.
MAX_TRACEBACK_CHARS = 8_000
MAX_MESSAGE_CHARS = 2_000


def type_name(cls: type) -> str:
    """Name a type as it is stored and compared: ``module.Qualified.name``, builtins bare."""
    if cls.__module__ == "builtins":
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


@attrs.frozen
class ErrorRecord:
    """What is stored of an exception.

    Attributes:
        types: the class and its bases up to ``Exception``, most specific first, each as
            ``module.Qualified.name``.
        message: ``str(exception)``.
        traceback: the formatted traceback, cut to a bounded length.
    """

    types: tuple[str, ...]
    message: str
    traceback: str = ""

    def is_(self, exception_type: type[BaseException]) -> bool:
        """Tell whether the exception was an instance of ``exception_type``, by name."""
        # Every exception is one, and so no record says it.
        return exception_type is BaseException or type_name(exception_type) in self.types

    def __str__(self) -> str:
        name = self.types[0] if self.types else "unknown error"
        return f"{name}: {self.message}" if self.message else name


def _cut(text: str, limit: int) -> str:
    """Keep both ends of a long text: the start says where, the end says what."""
    # A lone surrogate is valid in a Python str and not in UTF-8.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def describe(error: BaseException) -> ErrorRecord:
    """Make the record of an exception. Never raises, whatever the exception's ``__str__`` does."""
    try:
        message = str(error)
    except Exception:  # an author's broken __str__ must not lose the outcome
        message = "<the exception's __str__ failed>"
    try:
        lines = "".join(traceback.format_exception(error))
    except Exception:  # for the same reason
        lines = ""
    types = [cls for cls in type(error).__mro__ if issubclass(cls, BaseException)]
    return ErrorRecord(
        types=tuple(type_name(cls) for cls in types if cls is not BaseException),
        message=_cut(message, MAX_MESSAGE_CHARS),
        traceback=_cut(lines, MAX_TRACEBACK_CHARS),
    )


def leaves(error: BaseException) -> list[BaseException]:
    """Flatten an exception group, however nested; a plain exception is its own only leaf."""
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return [leaf for part in group.exceptions for leaf in leaves(part)]
    return [error]


def consists_of(error: BaseException, types: tuple[type[BaseException], ...]) -> bool:
    """Tell whether an exception, or every leaf of an exception group, is one of these."""
    return all(isinstance(part, types) for part in leaves(error))


def behind(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and everything behind it, once: group members, causes, contexts."""
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            left += cast("tuple[BaseException, ...]", one.exceptions)
        left += [part for part in (one.__cause__, one.__context__) if part is not None]
