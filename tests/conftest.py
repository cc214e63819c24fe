"""What every test stands on."""

from hypothesis import settings

pytest_plugins = ["tessera.testing.plugin"]

# No deadline: a machine that is busy with something else is no reason to fail. The number of examples is bounded, so
# that the whole suite stays a matter of seconds; `--hypothesis-profile=default` asks for more.
settings.register_profile("ci", deadline=None, max_examples=60)
settings.load_profile("ci")
