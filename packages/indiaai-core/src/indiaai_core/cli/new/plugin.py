"""What the template of a backend is filled with, taken from the layer itself; imported when one is begun."""

from __future__ import annotations

from importlib_metadata import metadata, version

from indiaai_core.cli.new.imports import Imports
from indiaai_core.cli.new.project import Plan, check_name, class_stem, requirement
from indiaai_core.cli.new.stub import abstract_names, write_stubs
from indiaai_core.discovery import LAYERS_GROUP, catalogue, find_layer
from indiaai_core.layers import Layer

__all__ = ["plan_plugin"]

CORE = "indiaai-core"


def plan_plugin(layer_name: str, name: str) -> Plan:
    """Say what the package of a backend holds.

    Args:
        layer_name: An installed layer.
        name: The backend's name.

    Raises:
        ConfigurationError: The name cannot be one, or the layer is not installed or cannot be read.
    """
    layer = find_layer(layer_name)
    check_name(name, "backend")
    distribution = f"indiaai-{layer.name}-{name}".replace("_", "-")
    package, service, settings = distribution.replace("-", "_"), _service_name(layer, name), f"{class_stem(name)}Settings"
    imports = Imports(package)
    methods = write_stubs(layer.interface, service=service, imports=imports)
    imports.add("typing", "ClassVar")
    imports.add_door(layer.interface.__module__, layer.interface.__name__)
    imports.add("indiaai_core.settings", "load_settings")
    imports.add(f"{package}.settings", settings)
    answers = {
        "layer": layer,
        "backend": name,
        "distribution": distribution,
        "package": package,
        "service": service,
        "settings": settings,
        "prefix": f"{name.upper()}_",
        "interface": layer.interface.__name__,
        "methods": methods,
        "imports": imports.render(),
        "to_write": abstract_names(layer.interface),
        "suite_imports": _suite_imports(layer, package, service, settings),
        "package_imports": _package_imports(package, service, settings),
        **_requirements(layer),
    }
    next_step = f"Then write the methods of src/{package}/service.py: each says what it is to do."
    return Plan("plugin", distribution, answers, next_step)


def _service_name(layer: Layer, name: str) -> str:
    return f"{class_stem(name)}{class_stem(layer.name)}Service"


def _suite_imports(layer: Layer, package: str, service: str, settings: str) -> str:
    imports = _tested(package, service, settings)
    if layer.conformance:
        module, _, suite = layer.conformance.partition(":")
        imports.add(module, suite)
        imports.add("pytest")
        imports.add("collections.abc", "AsyncIterator")
    return imports.render()


def _package_imports(package: str, service: str, settings: str) -> str:
    imports = _tested(package, service, settings)
    imports.add("pytest")
    imports.add("importlib.metadata", "entry_points")
    return imports.render()


def _tested(package: str, *names: str) -> Imports:
    imports = Imports(package)
    for name in names:
        imports.add(package, name)
    return imports


def _requirements(layer: Layer) -> dict[str, object]:
    (owner, *_) = [it.distribution for it in catalogue().in_group(LAYERS_GROUP) if it.name == layer.name]
    names = sorted({CORE, owner})
    extras = metadata(owner).get_all("Provides-Extra") or []
    kits = {f"{CORE}[testing]", f"{owner}[testing]" if "testing" in extras else owner}
    return {
        "requirements": [requirement(name, version(name)) for name in names],
        "kits": sorted(kits - {CORE}),
        "suite": (layer.conformance or "").partition(":")[2],
    }
