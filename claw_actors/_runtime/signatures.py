"""Arguments and results as bytes, checked against a function's own signature."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import attrs

from ..definitions import Workflow
from ..errors import DefinitionError, InvalidArgumentsError, SerializationError
from ..storage.codec import Codec

__all__ = ["Signature", "signature_of", "workflow_signature"]


@attrs.frozen(eq=False)
class Signature:
    """How a function is called durably.

    Attributes:
        name: how errors name the function.
        signature: what arguments must bind to, without the context.
        types: the annotation of each parameter (of each element, for ``*args`` and ``**kwargs``).
        returns: the annotation of the result.
    """

    name: str
    signature: inspect.Signature
    types: Mapping[str, object]
    returns: object

    def encode_arguments(
        self, codec: Codec, args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> bytes:
        """Bind arguments and encode them in a canonical form: equal calls give equal bytes.

        Raises:
            InvalidArgumentsError: they do not fit the signature.
            SerializationError: one does not survive storage; it is named, with its type.
            PayloadTooLargeError: one, or all together, are over the limit.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidArgumentsError(self.name, str(error)) from error

        def surviving(value: object, declared: object, what: str) -> object:
            # What a replay could not decode must be refused here, by name, not in the body.
            codec.round_trip(value, declared, what)
            return codec.to_plain(value, declared, what)

        parts = {
            name: self._each(name, value, surviving) for name, value in bound.arguments.items()
        }
        return codec.encode_plain(parts, f"arguments of {self.name}", canonical=True)

    def read_arguments(self, codec: Codec, args: Sequence[object]) -> tuple[Any, ...]:
        """Turn arguments as JSON knows them into what the function declares.

        Raises:
            InvalidArgumentsError: they do not fit; the argument is named.
        """
        try:
            bound = self.signature.bind(*args)
            for name, raw in bound.arguments.items():
                bound.arguments[name] = self._each(name, raw, codec.from_plain)
        except (TypeError, SerializationError) as error:
            raise InvalidArgumentsError(self.name, str(error)) from error
        return bound.args

    def _each(
        self, name: str, value: Any, translate: Callable[[object, object, str], object]
    ) -> object:
        """Translate one parameter's value; for ``*args`` and ``**kwargs``, each of its elements."""
        kind, declared = self.signature.parameters[name].kind, self.types[name]
        what = f"argument {name!r} of {self.name}"
        if kind is inspect.Parameter.VAR_POSITIONAL:
            return [translate(one, declared, what) for one in value]
        if kind is inspect.Parameter.VAR_KEYWORD:
            return {key: translate(one, declared, what) for key, one in value.items()}
        return translate(value, declared, what)

    def decode_arguments(
        self, codec: Codec, data: bytes
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """Decode what :meth:`encode_arguments` wrote, ready to call the function with.

        Raises:
            SerializationError: they do not fit the declared types, or the signature any more.
        """
        what = f"arguments of {self.name}"
        parts = cast("dict[str, object]", codec.decode(data, dict[str, object], what))
        bound = self.signature.bind_partial()
        for name, raw in parts.items():
            if name not in self.types:
                raise SerializationError(what, "stored", f"{name!r} is not a parameter any more")
            bound.arguments[name] = self._each(name, raw, codec.from_plain)
        try:
            self.signature.bind(*bound.args, **bound.kwargs)
        except TypeError as error:
            raise SerializationError(what, "stored", str(error)) from error
        return bound.args, bound.kwargs


@functools.lru_cache(maxsize=4_096)
def signature_of(fn: Callable[..., object], name: str, *, skip_first: bool = False) -> Signature:
    """Read a function's signature, once.

    Args:
        fn: the function.
        name: how errors name it.
        skip_first: leave out the first parameter, which no caller passes.

    Raises:
        DefinitionError: an annotation cannot be resolved.
    """
    signature = inspect.signature(fn)
    try:
        hints = typing.get_type_hints(fn)
    except Exception as error:  # evaluating an author's annotations may raise anything
        raise DefinitionError(
            f"an annotation of {name} cannot be resolved: {error}; import what it names at run time"
        ) from error
    parameters = list(signature.parameters.values())[1 if skip_first else 0 :]
    return Signature(
        name=name,
        signature=signature.replace(parameters=parameters),
        types={one.name: hints.get(one.name, object) for one in parameters},
        returns=hints.get("return", object),
    )


def workflow_signature(workflow: Workflow[..., Any]) -> Signature:
    """Read the signature of a workflow's function, but for the context.

    Raises:
        DefinitionError: an annotation cannot be resolved.
    """
    return signature_of(workflow.fn, workflow.name, skip_first=True)
