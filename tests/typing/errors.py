"""What type checkers must know of the errors; checked, never run."""

from __future__ import annotations

from typing import assert_type

from claw_actors import errors


def attributes_have_types(error: errors.ClawError) -> None:
    match error:
        case errors.NotFoundError():
            assert_type(error.kind, str)
            assert_type(error.id, str)
        case errors.DuplicateKeyError():
            assert_type(error.differs, tuple[str, ...])
        case errors.PayloadTooLargeError():
            assert_type(error.size_bytes, int)
            assert_type(error.limit_bytes, int)
        case errors.TaskFailedError():
            assert_type(error.error.types, tuple[str, ...])
            assert_type(error.is_(ValueError), bool)
        case errors.UnknownWorkflowError():
            assert_type(error.version, int | None)
        case _:
            pass


def one_clause_catches_the_family(error: errors.StorageUnavailableError) -> errors.ClawError:
    return error


def a_sealed_instance_is_no_exception(error: errors.InstanceSealed) -> Exception:
    return error  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def a_limit_is_a_number() -> None:
    errors.PayloadTooLargeError("result", "big", 10)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
