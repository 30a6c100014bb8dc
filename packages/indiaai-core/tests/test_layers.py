"""What every service has in common, and what the layers' own declarations say."""

from __future__ import annotations

import pytest

from indiaai_core import Layer, Service, Unsupported
from indiaai_core import queue as queue_layer
from indiaai_core import storage as storage_layer

pytestmark = pytest.mark.anyio


class Plain(Service):
    """A service that adds nothing."""

    is_closed = False

    async def aclose(self) -> None:
        """Remember it."""
        self.is_closed = True
        await super().aclose()


async def test_a_service_closes_itself_as_a_context_manager() -> None:
    """`async with` gives the service and closes it."""
    async with Plain() as service:
        await service.check()
        await service.probe()
        assert not service.is_closed

    assert service.is_closed


async def test_what_a_backend_does_not_have_is_said() -> None:
    """A backend without a client or routes says so."""
    with pytest.raises(Unsupported, match="Plain does not support 'client'"):
        _ = Plain().client
    assert Plain().http_app is None


@pytest.mark.parametrize(
    ("layer", "name", "default"), [(storage_layer.LAYER, "storage", "local"), (queue_layer.LAYER, "queue", "memory")]
)
def test_the_core_s_layers_are_declared_like_any_other(layer: Layer, name: str, default: str) -> None:
    """Name, group, variable and default backend follow from the declaration."""
    assert (layer.name, layer.default_backend) == (name, default)
    assert (layer.group, layer.variable) == (f"indiaai.{name}", f"{name.upper()}_TYPE")
