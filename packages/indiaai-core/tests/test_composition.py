"""Wrappers by settings: found by name, put in the order written, in front of anybody's backend."""

from __future__ import annotations

import pytest

from indiaai_core import ConfigurationError, Platform
from indiaai_core.errors import PluginConflict, PluginLoadError
from installed import DICT_STORAGE, SitePackages

ENTRY_POINTS = """
    [indiaai.wrappers]
    outer = acme_wrappers:outer
    inner = acme_wrappers:inner
    number = acme_wrappers:number
    broken = acme_absent:wrapper
"""

WRAPPERS = """
    class Mark:
        def __init__(self, name, service, layer, environment):
            self.name, self.service, self.layer, self.environment = name, service, layer, environment

    def outer(service, *, layer, environment):
        return Mark("outer", service, layer, environment)

    def inner(service, *, layer, environment):
        return Mark("inner", service, layer, environment)

    number = 7
"""

PREFIXED = (
    DICT_STORAGE
    + """
    from pydantic_settings import SettingsConfigDict
    from indiaai_core.settings import BackendSettings

    class Settings(BackendSettings):
        model_config = SettingsConfigDict(env_prefix="STORAGE_")

    Plain = Backend

    class Backend(Plain):
        settings_class = Settings

        def __init__(self, settings):
            super().__init__()
"""
)


@pytest.fixture
def wrapped(site: SitePackages) -> SitePackages:
    """An installation with a stranger's backend and a stranger's wrappers."""
    site.backend("acme")
    site.install("acme-wrappers", entry_points=ENTRY_POINTS, modules={"acme_wrappers": WRAPPERS})
    return site


def test_the_first_name_is_the_outermost(wrapped: SitePackages) -> None:
    """Wrappers stand in the order in which the variable names them, each with the layer and the variables."""
    platform = Platform({"STORAGE_TYPE": "acme", "STORAGE_WRAPPERS": " Outer, inner,"})

    service = platform.get_service("storage")

    assert (service.name, service.service.name) == ("outer", "inner")
    assert service.layer.name == "storage"
    assert service.environment["STORAGE_TYPE"] == "acme"
    assert type(service.service.service).__name__ == "Backend"


def test_no_name_leaves_the_backend_itself(wrapped: SitePackages) -> None:
    """Where no wrapper is named, the application holds the backend."""
    platform = Platform({"STORAGE_TYPE": "acme", "STORAGE_WRAPPERS": ""})

    service = platform.get_service("storage")

    assert type(service).__name__ == "Backend"


def test_a_named_instance_has_its_own_wrappers(wrapped: SitePackages) -> None:
    """A variable with an instance's prefix wraps that instance alone."""
    platform = Platform({"STORAGE_TYPE": "acme", "ARCHIVE_STORAGE_WRAPPERS": "inner"})

    service = platform.get_service("storage", "archive")

    assert service.name == "inner"
    assert type(platform.get_service("storage")).__name__ == "Backend"


def test_the_variable_is_no_misspelt_setting_of_the_backend(wrapped: SitePackages) -> None:
    """A backend whose settings begin with the layer's own name leaves the variable to the layer."""
    wrapped.backend("prefixed", source=PREFIXED)
    platform = Platform({"STORAGE_TYPE": "prefixed", "STORAGE_WRAPPERS": "outer", "OLD_STORAGE_WRAPPERS": "inner"})

    platform.prepare()

    assert platform.get_service("storage").name == "outer"
    assert platform.get_service("storage", "old").name == "inner"


def test_an_unknown_name_is_an_error_that_lists_what_is_installed(wrapped: SitePackages) -> None:
    """The error at start says which variable, which name, what there is and what was likely meant."""
    platform = Platform({"STORAGE_TYPE": "acme", "STORAGE_WRAPPERS": "outr"})

    with pytest.raises(ConfigurationError) as raised:
        platform.prepare()

    assert "STORAGE_WRAPPERS names the wrapper 'outr'" in str(raised.value)
    assert "broken, inner, number, outer" in str(raised.value)
    assert "Did you mean 'outer'?" in str(raised.value)


@pytest.mark.parametrize("name", ["broken", "number"])
def test_a_wrapper_that_does_not_load_is_named(wrapped: SitePackages, name: str) -> None:
    """What fails at import, or is no callable, is an error that names its distribution."""
    platform = Platform({"STORAGE_TYPE": "acme", "STORAGE_WRAPPERS": name})

    with pytest.raises(PluginLoadError, match="acme-wrappers"):
        platform.get_service("storage")


def test_a_name_that_two_claim_is_refused(wrapped: SitePackages) -> None:
    """Two distributions with one wrapper's name are both named."""
    wrapped.install("other-wrappers", entry_points="[indiaai.wrappers]\nouter = acme_wrappers:inner\n")
    platform = Platform({"STORAGE_TYPE": "acme", "STORAGE_WRAPPERS": "outer"})

    with pytest.raises(PluginConflict, match="other-wrappers"):
        platform.get_service("storage")
