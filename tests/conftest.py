"""What all tests share: the fixtures that users get, too."""

pytest_plugins = ["claw_actors.testing.fixtures"]
