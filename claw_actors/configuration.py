"""Settings from a file, the environment and arguments, for programs that are operated.

Each setting has one dotted key, such as ``storage.sqlite.path``, whoever sets it. What comes later
counts: the defaults, the file, the environment, the arguments. Every value remembers who has set it, so
that an error can say where to mend it.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, TypeAlias, cast, get_args, get_origin, get_type_hints

import attrs

from ._runtime.config import RuntimeConfig
from .errors import ConfigurationError, InvalidInputError
from .storage.backend import Backend
from .storage.memory import MemoryStorage
from .storage.sqlite import SQLiteStorage
from .storage.sqlite.connection import Durability

__all__ = ["Config", "SQLiteConfig", "Setting", "StorageConfig", "load_config"]

Setting: TypeAlias = str | int | float | bool
"""What a setting can be."""

FILE_NAME: Final = "claw.toml"
PROJECT_FILE_NAME: Final = "pyproject.toml"
PREFIX: Final = "CLAW_"
"""What the names of environment variables begin with: ``CLAW_STORAGE_SQLITE_PATH``."""

_WORDS: Final = {"true": True, "1": True, "false": False, "0": False}


def _one_of(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    choices = get_args(get_type_hints(type(instance))[attribute.name])
    if value not in choices:
        raise InvalidInputError(attribute.name, value, " or ".join(map(repr, choices)))


def _path(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidInputError(attribute.name, value, "the path of a file")


@attrs.frozen(kw_only=True)
class SQLiteConfig:
    """Where the SQLite database lies, and what it survives.

    Attributes:
        path: the file. In a configuration file it is relative to that file's directory, otherwise to
            the working directory.
        durability: what an acknowledged commit survives: ``"power_loss"``, or only the end of the
            ``"process"``, which is faster.
        quick_check_seconds: how long to look for damage at opening after an unclean end.

    Raises:
        InvalidInputError: a value that is not possible.
    """

    path: str = attrs.field(default="claw.db", validator=_path)
    durability: Durability = attrs.field(default="power_loss", validator=_one_of)
    quick_check_seconds: float = 2.0


@attrs.frozen(kw_only=True)
class StorageConfig:
    """Which storage.

    Attributes:
        type: ``"memory"``, which forgets with the process, or ``"sqlite"``.
        sqlite: the settings of the latter.

    Raises:
        InvalidInputError: a value that is not possible.
    """

    type: Literal["memory", "sqlite"] = attrs.field(default="memory", validator=_one_of)
    sqlite: SQLiteConfig = attrs.field(factory=SQLiteConfig)

    def backend(self) -> Backend:
        """Make the backend, not yet opened: what ``open_runtime`` takes as its storage.

        Raises:
            InvalidInputError: a setting that the backend does not accept.
        """
        if self.type == "memory":
            return MemoryStorage()
        sqlite = self.sqlite
        return SQLiteStorage(
            sqlite.path,
            durability=sqlite.durability,
            quick_check_seconds=sqlite.quick_check_seconds,
        )


@attrs.frozen(kw_only=True)
class Config:
    """All settings of a program.

    ``open_runtime(config.storage.backend(), workflows=..., config=config.runtime)``.

    Attributes:
        storage: which storage.
        runtime: limits and times.
    """

    storage: StorageConfig = attrs.field(factory=StorageConfig)
    runtime: RuntimeConfig = attrs.field(factory=RuntimeConfig)


def load_config(
    path: str | os.PathLike[str] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    arguments: Mapping[str, Setting] | None = None,
) -> Config:
    """Read the settings of a program.

    What comes later counts: the defaults, the file, the environment, the arguments. In the
    environment ``storage.sqlite.path`` is ``CLAW_STORAGE_SQLITE_PATH``.

    Args:
        path: a TOML file with the tables ``[storage]``, ``[storage.sqlite]`` and ``[runtime]``; of a
            ``pyproject.toml``, below ``[tool.claw_actors]``. By default ``claw.toml`` in the working
            directory, or its ``pyproject.toml`` if that has such a table, or no file.
        environment: variables; by default those of the process.
        arguments: settings by dotted key, for command lines.

    Raises:
        ConfigurationError: a file that cannot be read, a key that is none, a value that is not
            possible. It names the file or variable, the key, the value, and what is allowed.
    """
    values: dict[str, _Value] = {}
    file = _found_file() if path is None else Path(path)
    if file is not None:
        values |= _from_file(file)
    values |= _from_environment(os.environ if environment is None else environment)
    for key, given in (arguments or {}).items():
        values[key] = _Value(given, "the arguments", key)
    return _build(values)


@attrs.frozen
class _Value:
    """A value, who has set it, and what that one calls it."""

    value: object
    source: str
    name: str


def _leaf_types(cls: type, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield the dotted key of each setting, and its type."""
    for name, hint in get_type_hints(cls).items():
        if isinstance(hint, type) and attrs.has(hint):
            yield from _leaf_types(hint, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _without_none(hint)


def _without_none(hint: object) -> object:
    """Return what a setting is if it is set; unset is all that ``None`` can mean in a file."""
    if get_origin(hint) is not UnionType:
        return hint
    [given] = [one for one in get_args(hint) if one is not type(None)]
    return cast("object", given)


_TYPES: Final = dict(_leaf_types(Config))
_VARIABLES: Final = {PREFIX + key.replace(".", "_").upper(): key for key in _TYPES}
_OURS: Final = tuple(f"{PREFIX}{field.name.upper()}_" for field in attrs.fields(Config))


# -- sources ----------------------------------------------------------------------------------------


def _found_file() -> Path | None:
    """Find the file of the working directory, if it has one."""
    # Not `Path.exists`, which raises where this user may not even enter that directory: whoever
    # types `sudo -u shop claw list` in a home directory has no settings there.
    if os.path.exists(FILE_NAME):  # noqa: PTH110
        return Path(FILE_NAME)
    project = Path(PROJECT_FILE_NAME)
    return project if os.path.exists(project) and _tables(project) else None  # noqa: PTH110


def _tables(file: Path) -> dict[str, object]:
    """Read a file's tables that are ours."""
    try:
        tables: dict[str, object] = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        reason = f"it cannot be read: {error.strerror or error}"
        raise ConfigurationError(str(file), None, None, reason) from error
    except ValueError as error:  # of TOML and of UTF-8
        raise ConfigurationError(str(file), None, None, f"it is no TOML: {error}") from error
    if file.name != PROJECT_FILE_NAME:
        return tables
    for name in ("tool", "claw_actors"):
        table = tables.get(name)
        tables = cast("dict[str, object]", table) if isinstance(table, dict) else {}
    return tables


def _from_file(file: Path) -> dict[str, _Value]:
    source = str(file)
    values = {key: _Value(value, source, key) for key, value in _flat(_tables(file))}
    path = values.get("storage.sqlite.path")
    if path is not None and isinstance(path.value, str) and path.value:
        beside = str(file.parent / path.value)
        values["storage.sqlite.path"] = attrs.evolve(path, value=beside)
    return values


def _flat(tables: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from _flat(cast("dict[str, object]", value), f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _from_environment(environment: Mapping[str, str]) -> dict[str, _Value]:
    """Read those variables that are ours; others may begin with ``CLAW_``, too."""
    values: dict[str, _Value] = {}
    for name, text in environment.items():
        key = _VARIABLES.get(name)
        if key is not None:
            values[key] = _Value(_parsed(text, _TYPES[key]), "the environment", name)
        elif name.startswith(_OURS):
            raise _unknown(_Value(text, "the environment", name), name, _VARIABLES)
    return values


def _parsed(text: str, hint: object) -> object:
    """Read text as what a setting has to be; what cannot be read is refused later, as it is."""
    try:
        if hint is bool:
            return _WORDS[text.strip().lower()]
        if hint is int:
            return int(text)
        if hint is float:
            return float(text)
    except (KeyError, ValueError):
        return text
    return text


# -- putting them together --------------------------------------------------------------------------


def _unknown(given: _Value, name: str, known: Mapping[str, object]) -> ConfigurationError:
    close = difflib.get_close_matches(name, known, 1) or sorted(known)
    return ConfigurationError(
        given.source, name, given.value, f"there is no such setting; there is {', '.join(close)}"
    )


def _build(values: Mapping[str, _Value]) -> Config:
    for key, given in values.items():
        if key not in _TYPES:
            raise _unknown(given, given.name, _TYPES)
        _check_type(given, _TYPES[key])
    return cast("Config", _build_part(Config, "", values))


def _check_type(given: _Value, hint: object) -> None:
    """Refuse what is of another type; a whole number is also a number."""
    value = given.value
    if get_origin(hint) is Literal:
        return  # its own check names the choices
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return
    if type(value) is not hint:
        names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        allowed = names[cast("type[int]", hint)]
        raise ConfigurationError(given.source, given.name, value, allowed)


def _build_part(cls: type, prefix: str, values: Mapping[str, _Value]) -> object:
    """Make one record of settings, and the records in it."""
    parts: dict[str, object] = {}
    for name, hint in get_type_hints(cls).items():
        key = f"{prefix}{name}"
        if isinstance(hint, type) and attrs.has(hint):
            parts[name] = _build_part(hint, f"{key}.", values)
        elif key in values:
            parts[name] = values[key].value
    try:
        return cls(**parts)
    except InvalidInputError as error:
        given = values[f"{prefix}{error.field}"]
        raise ConfigurationError(given.source, given.name, given.value, error.allowed) from error
