"""Which providers serve a model, in which order."""

import pytest

from tessera.domain.errors import ConfigError, NoProvider
from tessera.domain.task import Mode
from tessera.engine.routes import Routes
from tessera.providers.fake import Fake

SANDBOX = Fake("sandbox", models={"*": "sandbox-image"})
ANTON = Fake("anton", models={"gpt4o-image": "anton-1", "FLUX_MAX": "anton-flux"})
BERTA = Fake("berta", models={"gpt4o-image": "berta-1"}, operations=frozenset({"image.generate"}))
CARLA = Fake("carla", models={"FLUX_MAX": "carla-flux"})
ALL = {"carla": CARLA, "berta": BERTA, "sandbox": SANDBOX, "anton": ANTON}


def names(routes: Routes, mode: Mode, model: str, operation: str, fallback: str | None = None) -> list[str]:
    return [f"{hop.name}:{hop.model}" for hop in routes.of(mode, model, operation, fallback)]


@pytest.mark.parametrize("model", ["gpt4o-image", "FLUX_MAX", "anything"])
def test_a_test_key_runs_on_the_sandbox_and_nowhere_else(model: str) -> None:
    routes = Routes(ALL, {"gpt4o-image": ["anton:anton-1"]})
    assert names(routes, Mode.TEST, model, "image.edit") == ["sandbox:sandbox-image"]


def test_a_live_key_never_runs_on_the_sandbox() -> None:
    assert names(Routes(ALL), Mode.LIVE, "gpt4o-image", "image.generate") == ["anton:anton-1", "berta:berta-1"]
    with pytest.raises(NoProvider):
        Routes({"sandbox": SANDBOX}).of(Mode.LIVE, "gpt4o-image", "image.generate")
    with pytest.raises(NoProvider):
        Routes(ALL, {"gpt4o-image": ["sandbox:sandbox-image"]}).of(Mode.LIVE, "gpt4o-image", "image.generate")


def test_a_provider_that_cannot_do_the_operation_is_left_out() -> None:
    assert names(Routes(ALL), Mode.LIVE, "gpt4o-image", "image.edit") == ["anton:anton-1"]


def test_a_configured_route_is_followed_in_its_order() -> None:
    routes = Routes(ALL, {"gpt4o-image": ["berta:big", "anton:small", "berta:small"]})
    assert names(routes, Mode.LIVE, "gpt4o-image", "image.generate") == ["berta:big", "anton:small", "berta:small"]
    assert names(routes, Mode.LIVE, "FLUX_MAX", "image.generate") == ["anton:anton-flux", "carla:carla-flux"]


def test_the_hops_of_the_fallback_model_come_last_and_once() -> None:
    routes = Routes(ALL, {"FLUX_MAX": ["anton:anton-1", "carla:carla-flux"]})
    route = names(routes, Mode.LIVE, "gpt4o-image", "image.generate", "FLUX_MAX")
    assert route == ["anton:anton-1", "berta:berta-1", "carla:carla-flux"]
    assert routes.primary(Mode.LIVE, "gpt4o-image", "image.generate") == 2


def test_a_fallback_model_can_serve_what_the_model_itself_cannot() -> None:
    route = names(Routes({"carla": CARLA}), Mode.LIVE, "gpt4o-image", "image.generate", "FLUX_MAX")
    assert route == ["carla:carla-flux"]


def test_where_nothing_serves_a_model_the_text_says_what_to_set() -> None:
    with pytest.raises(NoProvider, match=r"No provider is configured for gpt4o-image: .*tessera doctor.*tsk_test_"):
        Routes({"carla": CARLA}).of(Mode.LIVE, "gpt4o-image", "image.generate")


def test_a_test_key_without_a_sandbox_is_refused_and_breaks_nothing() -> None:
    with pytest.raises(NoProvider):
        Routes({"anton": ANTON}).of(Mode.TEST, "gpt4o-image", "image.generate")


def test_a_route_to_a_provider_that_is_off_goes_on_with_the_others() -> None:
    routes = Routes({"anton": ANTON, "sandbox": SANDBOX}, {"gpt4o-image": ["zeppo:z", "anton:a"]})
    assert [hop.name for hop in routes.of(Mode.LIVE, "gpt4o-image", "image.generate")] == ["anton"]


@pytest.mark.parametrize("name", ["zeppo", "sandbox"])
def test_a_route_to_what_no_route_can_name_is_refused_at_the_start(name: str) -> None:
    routes = Routes({"anton": ANTON, "sandbox": SANDBOX}, {"gpt4o-image": [f"{name}:z"]})
    with pytest.raises(ConfigError, match=f"gpt4o-image names the provider '{name}'; a route can name anton"):
        routes.check(["anton", "sandbox"])


def test_an_attempt_finds_its_provider_again_or_hears_that_it_is_gone() -> None:
    hop = Routes(ALL).hop("anton", "whatever")
    assert hop is not None
    assert (hop.provider, hop.model) == (ANTON, "whatever")
    assert Routes(ALL).hop("zeppo", "z") is None
