"""What the template of a layer is filled with; imported when one is begun."""

from __future__ import annotations

from importlib_metadata import version

from indiaai_core.cli.new.project import Plan, check_name, class_stem, requirement
from indiaai_core.discovery import catalogue, find_layers
from indiaai_core.errors import ConfigurationError

__all__ = ["plan_layer"]

CORE = "indiaai-core"
_TAKEN = ("layers", "hooks", "wrappers")  # groups of entry points that are no layer's


def plan_layer(name: str) -> Plan:
    """Say what the package of a layer holds.

    Args:
        name: The layer's name.

    Raises:
        ConfigurationError: The name cannot be one, or there is such a layer.
    """
    check_name(name, "layer")
    if name in find_layers() or name in _TAKEN or catalogue().in_group(f"indiaai.{name}"):
        raise ConfigurationError(f"{name!r} is taken: choose another name, or begin a backend of it: indiaai new plugin {name}")
    distribution = f"indiaai-{name}".replace("_", "-")
    stem = class_stem(name)
    answers = {
        "layer": name,
        "distribution": distribution,
        "package": distribution.replace("-", "_"),
        "stem": stem,
        "interface": f"{stem}Service",
        "suite": f"{stem}Conformance",
        "error": f"{stem}Error",
        "variable": f"{name.upper()}_TYPE",
        "prefix": f"{name.upper()}_MEMORY_",
        "letter": name[0].upper(),
        "requirement": requirement(CORE, version(CORE)),
    }
    next_step = "All of it is green. Then say in service.py what your layer does, and in testing/conformance.py what must hold."
    return Plan("layer", distribution, answers, next_step)
