"""The door: what it names is there, documented, annotated, and one family of errors.

Each test collects everything that is wrong, so that one run shows all of it.
"""

from __future__ import annotations

import ast
import inspect
import re
import typing
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

import attrs

import claw_actors
from claw_actors import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUBSTANCE_CHARS = 15
"""A docstring shorter than this repeats the name."""


def public_names(module: ModuleType) -> list[str]:
    """Return ``__all__``, or nothing where it is missing."""
    return list(getattr(module, "__all__", ()))


def public_objects(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Yield everything in ``__all__``, and in the ``__all__`` of the modules in it."""
    for name in public_names(module):
        value = getattr(module, name)
        yield name, value
        if isinstance(value, ModuleType):
            for inner, inner_value in public_objects(value):
                yield f"{name}.{inner}", inner_value


def public_members(cls: type) -> Iterator[tuple[str, object]]:
    """Yield the methods and properties that a class, or one of our base classes, defines."""
    seen: set[str] = set()
    for base in cls.__mro__:
        if not base.__module__.startswith("claw_actors"):
            continue
        for name, member in vars(base).items():
            if name.startswith("_") or name in seen:
                continue
            if isinstance(member, FunctionType | classmethod | staticmethod | property):
                seen.add(name)
                yield name, member


def functions(member: object) -> list[Callable[..., object]]:
    """Return the functions behind a member, with each of their overloads."""
    if isinstance(member, property):
        found = [part for part in (member.fget, member.fset) if part]
    elif isinstance(member, classmethod | staticmethod):
        found = [member.__func__]
    else:
        found = [member]
    return [
        each
        for function in found
        for each in [inspect.unwrap(function), *typing.get_overloads(function)]
    ]


def faults_of_signature(name: str, function: Callable[..., object]) -> Iterator[str]:
    """Find missing annotations, and ``Any`` in one, wherever it stands in it."""
    signature = inspect.signature(function)
    parts = {**signature.parameters, "return": signature}
    for part, of in parts.items():
        if part in {"self", "cls"}:
            continue
        annotation = of.return_annotation if isinstance(of, inspect.Signature) else of.annotation
        if annotation is inspect.Parameter.empty:
            yield f"{name}: {part} is not annotated"
        elif re.search(r"\bAny\b", str(annotation)):
            yield f"{name}: {part} is annotated with {annotation}"


def by_kind(name: str) -> tuple[int, str]:
    """Order names as ruff does: constants, classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def is_described(value: object) -> bool:
    """Tell whether a docstring, its own or inherited by a method, says something."""
    text = value.__doc__ if isinstance(value, type | ModuleType) else inspect.getdoc(value)
    return text is not None and len(text.strip()) >= SUBSTANCE_CHARS


def is_documentable(value: object) -> bool:
    """Tell a class, function, module or object of ours from a plain value or a type alias."""
    return isinstance(value, type | ModuleType) or callable(value)


def test_the_door_lists_its_names_in_order():
    """``__all__`` is there, sorted, and names nothing twice."""
    names = public_names(claw_actors)
    assert {"errors", "open_runtime", "open_storage", "task", "workflow"} <= set(names)
    assert names == sorted(set(names), key=by_kind)


def test_every_name_is_there():
    """Each name in ``__all__`` can be imported, in the door and in the modules that it shows."""
    assert public_names(errors)
    missing = [name for name in public_names(claw_actors) if not hasattr(claw_actors, name)]
    missing += [name for name in public_names(errors) if not hasattr(errors, name)]
    assert missing == []


def test_the_door_says_as_for_what_it_hands_out():
    """``from .x import Y as Y``: type checkers take it for public, and nothing comes in unseen."""
    tree = ast.parse(Path(claw_actors.__file__).read_text("utf-8"))
    aliases = [
        alias
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    ]
    assert [alias.name for alias in aliases if alias.asname != alias.name] == []
    assert {alias.name for alias in aliases} == set(public_names(claw_actors))


def test_every_public_name_has_a_docstring():
    """Classes, functions and modules say what they are for."""
    bare = [
        name
        for name, value in public_objects(claw_actors)
        if is_documentable(value) and not is_described(value)
    ]
    assert bare == []


def test_every_public_method_and_property_has_a_docstring():
    """So do the members of public classes; an override has that of what it overrides."""
    bare = [
        f"{name}.{member_name}"
        for name, value in public_objects(claw_actors)
        if isinstance(value, type)
        for member_name, _ in public_members(value)
        if not is_described(getattr(value, member_name))
    ]
    assert bare == []


def test_every_field_of_a_public_record_is_described():
    """The docstring of an attrs class names each of its public fields."""
    silent = [
        f"{name}.{field.name}"
        for name, value in public_objects(claw_actors)
        if isinstance(value, type) and attrs.has(value)
        for field in attrs.fields(value)
        if not field.name.startswith("_")
        and not re.search(rf"\b{field.name}\b", value.__doc__ or "")
    ]
    assert silent == []


def test_public_signatures_are_annotated_without_any():
    """``Any`` would switch off the type checker of whoever calls."""
    faults = []
    for name, value in public_objects(claw_actors):
        if isinstance(value, type):
            for member_name, member in public_members(value):
                for function in functions(member):
                    faults += faults_of_signature(f"{name}.{member_name}", function)
        elif isinstance(value, FunctionType):
            for function in functions(value):
                faults += faults_of_signature(name, function)
    assert faults == []


def test_a_bad_signature_is_found():
    """The search above finds what it looks for."""

    def bad(one, two: list[typing.Any], *, three: int) -> typing.Any:
        raise NotImplementedError

    assert [fault.partition(" is ")[0] for fault in faults_of_signature("bad", bad)] == [
        "bad: one",
        "bad: two",
        "bad: return",
    ]


def test_every_error_of_the_module_is_exported():
    """``errors.__all__`` leaves out no exception class, and names nothing else."""
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type)
        and issubclass(value, BaseException)
        and value.__module__ == errors.__name__
    }
    assert defined == set(public_names(errors))
    assert public_names(errors) == sorted(defined)


def test_errors_are_one_family():
    """``except ClawError`` catches all but ``InstanceSealed``, which must not be caught."""
    strangers = [
        name
        for name in public_names(errors)
        if not issubclass(getattr(errors, name), errors.ClawError)
    ]
    assert strangers == ["InstanceSealed"]
    assert not issubclass(errors.InstanceSealed, Exception)


def test_the_family_of_errors_is_flat():
    """Each stands directly under ``ClawError``: no error is caught by catching another.

    But for an id that was pruned: whoever reckons with one that is taken reckons with it, too.
    """
    deeper = [
        name
        for name in public_names(errors)
        if name not in {"ClawError", "InstanceSealed", "HistoryPrunedError"}
        and getattr(errors, name).__bases__ != (errors.ClawError,)
    ]
    assert deeper == []


def test_the_package_defines_its_errors_in_one_place():
    """No module hides a public subclass of ``ClawError``: what can be raised can be named."""
    families, elsewhere = [errors.ClawError], []
    while families:
        for cls in families.pop().__subclasses__():
            families.append(cls)
            is_ours = cls.__module__.startswith("claw_actors")
            if is_ours and not cls.__name__.startswith("_") and cls.__module__ != errors.__name__:
                elsewhere.append(f"{cls.__module__}.{cls.__qualname__}")
    assert elsewhere == []
