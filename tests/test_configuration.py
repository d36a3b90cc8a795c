"""Settings come from where they are set, and say where they are wrong."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from claw_actors import (
    Config,
    MemoryStorage,
    RuntimeConfig,
    SQLiteConfig,
    SQLiteStorage,
    StorageConfig,
    load_config,
)
from claw_actors.errors import ConfigurationError, InvalidInputError

EXAMPLE = Path(__file__).parent.parent / "examples" / "claw.example.toml"

SOME = """
[storage]
type = "sqlite"
[storage.sqlite]
path = "data/orders.db"
durability = "process"
[runtime]
grace = 12
max_threads = 8
"""


@pytest.fixture(autouse=True)
def empty_directory(tmp_path, monkeypatch):
    """No file of settings lies about, and no variable is set."""
    monkeypatch.chdir(tmp_path)
    for name in ("CLAW_STORAGE_TYPE", "CLAW_RUNTIME_GRACE"):
        monkeypatch.delenv(name, raising=False)


def refusal(**how) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load_config(**how)
    return caught.value


# -- where they come from ---------------------------------------------------------------------------


def test_without_anything_workflows_are_kept_in_memory():
    """The default forgets; nobody is surprised by a file."""
    assert load_config() == Config()
    assert Config().storage.type == "memory"
    assert isinstance(Config().storage.backend(), MemoryStorage)


def test_a_file_is_found_in_the_working_directory():
    """claw.toml, as it lies there."""
    Path("claw.toml").write_text(SOME)
    assert load_config() == Config(
        storage=StorageConfig(
            type="sqlite", sqlite=SQLiteConfig(path="data/orders.db", durability="process")
        ),
        runtime=RuntimeConfig(grace=12, max_threads=8),
    )


def test_a_project_file_counts_if_it_has_settings():
    """Only its own table is looked at."""
    Path("pyproject.toml").write_text(
        "[tool.other]\nx = 1\n[tool.claw_actors.runtime]\ngrace = 1\n"
    )
    assert load_config().runtime.grace == 1


@pytest.mark.parametrize(
    "text", ["", "tool = 1", "[tool]\nclaw_actors = 1", "[tool.claw_actors]", "[build-system]"]
)
def test_a_project_file_without_settings_changes_nothing(text):
    """Most projects have one."""
    Path("pyproject.toml").write_text(text)
    assert load_config() == Config()


def test_its_own_file_comes_before_the_project_s():
    """One file counts, not a mixture of two."""
    Path("claw.toml").write_text("[runtime]\ngrace = 2")
    Path("pyproject.toml").write_text("[tool.claw_actors.runtime]\ngrace = 1\nmax_threads = 1\n")
    assert load_config().runtime == RuntimeConfig(grace=2)


def test_a_path_in_a_file_is_relative_to_the_file(tmp_path):
    """Wherever the program is started from, it finds the same database."""
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "mine.toml"
    file.write_text(SOME)
    assert load_config(file).storage.sqlite.path == str(tmp_path / "etc" / "data" / "orders.db")
    file.write_text('[storage.sqlite]\npath = "/var/lib/orders.db"')
    assert load_config(str(file)).storage.sqlite.path == "/var/lib/orders.db"


def test_the_environment_overrides_the_file_and_arguments_override_both():
    """What is nearer to the one start of the program counts."""
    Path("claw.toml").write_text(SOME)
    variables = {"CLAW_RUNTIME_GRACE": "3.5", "CLAW_RUNTIME_MAX_THREADS": "2", "HOME": "/root"}
    found = load_config(environment=variables, arguments={"runtime.max_threads": 1})
    assert (found.runtime.grace, found.runtime.max_threads) == (3.5, 1)
    assert found.storage.sqlite.durability == "process"


def test_the_environment_is_the_process_s_by_default(monkeypatch):
    """Nothing has to be handed in."""
    monkeypatch.setenv("CLAW_STORAGE_TYPE", "sqlite")
    assert load_config().storage.type == "sqlite"


def test_variables_that_are_somebody_else_s_do_not_matter():
    """Only the names of our own tables are ours."""
    assert load_config(environment={"CLAW_HAMMER": "1", "CLAW": "2"}) == Config()


def test_a_whole_number_is_a_number():
    """Nobody writes 5.0."""
    assert load_config(arguments={"runtime.grace": 5}).runtime.grace == 5


def test_sqlite_is_made_as_it_is_set(tmp_path):
    """Every setting arrives."""
    config = StorageConfig(type="sqlite", sqlite=SQLiteConfig(path="x.db", durability="process"))
    backend = config.backend()
    assert isinstance(backend, SQLiteStorage)
    assert repr(backend) == f"<SQLiteStorage {backend.where!r}, process, closed>"
    assert Path(backend.where).name == "x.db"


# -- what is wrong ----------------------------------------------------------------------------------


def test_a_wrong_value_names_file_key_value_and_what_is_allowed():
    """Somebody reads this at night."""
    Path("claw.toml").write_text('[storage]\ntype = "postgres"\n')
    error = refusal()
    assert attrs.asdict(_parts(error)) == {
        "source": "claw.toml",
        "key": "storage.type",
        "value": "'postgres'",
        "allowed": "'memory' or 'sqlite'",
    }
    assert str(error) == "claw.toml: storage.type = 'postgres': 'memory' or 'sqlite'"


@attrs.frozen
class _Parts:
    source: str
    key: str | None
    value: str | None
    allowed: str


def _parts(error: ConfigurationError) -> _Parts:
    return _Parts(error.source, error.key, error.value, error.allowed)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("runtime.grace", "5", "a number"),
        ("runtime.grace", True, "a number"),
        ("runtime.grace", -1, "a finite number, at least 0"),
        ("runtime.max_threads", 1.5, "a whole number"),
        ("runtime.max_threads", 0, "a whole number, at least 1"),
        ("storage.sqlite.path", 7, "text"),
        ("storage.sqlite.path", "", "the path of a file"),
        ("storage.sqlite.durability", "none", "'power_loss' or 'process'"),
    ],
)
def test_a_value_that_is_not_possible_is_refused_by_its_key(key, value, allowed):
    """Of the wrong type, or out of range; nothing is taken as it comes."""
    error = refusal(arguments={key: value})
    assert (error.source, error.key, error.allowed) == ("the arguments", key, allowed)


def test_a_variable_is_named_as_the_shell_knows_it():
    """Who set CLAW_RUNTIME_GRACE looks for that."""
    error = refusal(environment={"CLAW_RUNTIME_GRACE": "soon"})
    assert str(error) == "the environment: CLAW_RUNTIME_GRACE = 'soon': a number"


def test_a_switch_in_the_environment_is_read_as_one(monkeypatch):
    """On is true or 1, off is false or 0, and nothing else is either."""
    switches = [key for key, hint in _settings().items() if hint is bool]
    for key in switches:
        name = "CLAW_" + key.replace(".", "_").upper()
        on, off = (load_config(environment={name: word}) for word in ("True", "0"))
        assert (_at(on, key), _at(off, key)) == (True, False)
        assert refusal(environment={name: "yes"}).allowed == "true or false"


def _settings() -> dict[str, object]:
    from claw_actors.configuration import _TYPES

    return dict(_TYPES)


def _at(config: Config, key: str) -> object:
    found: object = config
    for name in key.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"arguments": {"runtime.grase": 1}}, "runtime.grase = 1: there is no such setting"),
        ({"environment": {"CLAW_STORAGE_PATH": "x"}}, "CLAW_STORAGE_SQLITE_PATH"),
        ({"arguments": {"storage": "sqlite"}}, "there is no such setting; there is storage.type"),
        ({"arguments": {"zzzzzzzz": 1}}, "there is runtime."),
    ],
)
def test_a_setting_that_is_none_is_refused_and_the_closest_named(how, said):
    """A slip of the finger must not run with the default in silence."""
    assert said in str(refusal(**how))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    """It was asked for by name."""
    assert (
        str(refusal(path="none.toml")) == "none.toml: it cannot be read: No such file or directory"
    )


@pytest.mark.parametrize("data", [b"[storage", b"x = '\xff'"])
def test_a_file_that_is_no_toml_is_refused(tmp_path, data):
    """With what the parser says, and where."""
    Path("claw.toml").write_bytes(data)
    error = refusal()
    assert error.key is error.value is None
    assert str(error).startswith("claw.toml: it is no TOML: ")


def test_a_long_value_is_cut_in_the_message():
    """The message is for people."""
    assert len(str(refusal(arguments={"runtime.grace": "x" * 5_000}))) < 300


def test_settings_made_in_code_are_checked_too():
    """By the name of the field."""
    with pytest.raises(InvalidInputError, match="type 'postgres'"):
        StorageConfig(type="postgres")
    with pytest.raises(InvalidInputError, match="path ''"):
        SQLiteConfig(path="")


# -- the example ------------------------------------------------------------------------------------


def test_the_example_file_says_every_setting_with_its_default():
    """It is the page that people copy from: complete, and true."""
    assert attrs.evolve(load_config(EXAMPLE).storage, type="memory").type == "memory"
    said = {
        line.removeprefix("#").split("=")[0].strip()
        for line in EXAMPLE.read_text().splitlines()
        if "=" in line and not line.startswith("# ")
    }
    assert said == {key.rpartition(".")[2] for key in _settings()}
    unset = ("#older_than", "#keep", "#remember_ids")  # by default
    uncommented = "\n".join(
        line.removeprefix("#") if not line.startswith(("# ", *unset)) else ""
        for line in EXAMPLE.read_text().splitlines()
    )
    Path("claw.toml").write_text(uncommented)
    found = load_config()
    assert found.runtime == RuntimeConfig()
    assert found.storage.sqlite == attrs.evolve(SQLiteConfig(), path="data/claw.db")


def test_what_is_unset_in_the_example_can_be_set():
    """In a file, and in the environment."""
    Path("claw.toml").write_text(EXAMPLE.read_text().replace("\n#keep", "\nkeep"))
    name = "CLAW_RUNTIME_RETENTION_OLDER_THAN"
    found = load_config(environment={name: "60"}).runtime.retention
    assert (found.keep, found.older_than, found.remember_ids) == (1_000, 60.0, None)
    assert not found.is_off
    assert refusal(environment={name: "-1"}).allowed == "a finite number, at least 0"
    assert refusal(environment={name: "long"}).allowed == "a number"
