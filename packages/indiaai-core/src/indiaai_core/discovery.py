"""From (layer, name) to a class: finds what is installed, loads what is selected and refuses what does not fit.

Imported by the platform and the command line. Entry points are read once in a process and loaded only when used.
"""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from indiaai_core.errors import (
    BackendNotInstalled,
    ContractMismatch,
    PluginConflict,
    PluginLoadError,
    UnknownBackend,
    UnknownLayer,
)
from indiaai_core.layers import Layer
from indiaai_core.scan import Problem, Registration, canonical_name, scan

__all__ = ["Catalogue", "catalogue", "find_backend", "find_layer", "find_layers", "load_backend", "nearest", "refresh"]

LAYERS_GROUP = "indiaai.layers"
CORE_DISTRIBUTION = "indiaai-core"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_EXTRA = re.compile(r"""^(?P<needs>[\w.-]+).*;.*\bextra *== *["'](?P<extra>[^"']+)""")
"""A requirement that an extra brings, as metadata states it: `asyncpg>=0.30; extra == "postgresql"`."""


@dataclass(frozen=True)
class Catalogue:
    """What was installed when the process first asked.

    Attributes:
        registrations: Every entry point of this product's groups.
        problems: Metadata of plugins that could not be read.
    """

    registrations: tuple[Registration, ...]
    problems: tuple[Problem, ...]

    def in_group(self, group: str) -> list[Registration]:
        """Return the registrations of a group, sorted by name and distribution."""
        found = [registration for registration in self.registrations if registration.group == group]
        return sorted(found, key=lambda registration: (registration.name, registration.distribution))

    def names(self, group: str) -> list[str]:
        """Return the names registered in a group, sorted, each once."""
        return list(dict.fromkeys(registration.name for registration in self.in_group(group)))

    def version_of(self, distribution: str) -> str | None:
        """Return the version of a distribution that registered something, or None."""
        return next((found.version for found in self.registrations if found.distribution == distribution), None)


_lock = threading.Lock()
_catalogue: Catalogue | None = None
_layers: dict[Registration, Layer] = {}


def catalogue() -> Catalogue:
    """Return what is installed. The first call scans, every other gives the same object at no cost."""
    global _catalogue  # noqa: PLW0603 - the one scan of the process
    if _catalogue is None:
        with _lock:
            if _catalogue is None:
                registrations, problems = scan()
                _catalogue = Catalogue(tuple(registrations), tuple(problems))
    return _catalogue


def refresh() -> None:
    """Forget what was found, so that the next call sees what was installed since. Loaded modules stay loaded."""
    global _catalogue  # noqa: PLW0603 - see `catalogue`
    with _lock:
        _catalogue = None
        _layers.clear()


def find_layer(name: str) -> Layer:
    """Return the declaration of a layer.

    Raises:
        UnknownLayer: No installed distribution declares it.
        PluginConflict: Two do.
        PluginLoadError: The declaration does not load, or is none.
    """
    claims = [found for found in catalogue().in_group(LAYERS_GROUP) if found.name == name]
    if not claims:
        installed = catalogue().names(LAYERS_GROUP)
        raise UnknownLayer(name, installed=installed, nearest=nearest(name, installed))
    if len(claims) > 1:
        raise PluginConflict(LAYERS_GROUP, name, distributions=[claim.distribution for claim in claims], variable=name)
    claim = claims[0]
    if claim not in _layers:
        layer = _load(claim, f"The layer {name!r}")
        if not isinstance(layer, Layer) or layer.name != name:
            reason = f"{claim.value} is {layer!r}, not a Layer named {name!r}"
            raise PluginLoadError(f"The layer {name!r}", distribution=claim.distribution, reason=reason)
        _layers[claim] = layer
    return _layers[claim]


def find_layers() -> list[str]:
    """Return the names of all installed layers, sorted."""
    return catalogue().names(LAYERS_GROUP)


def load_backend(layer: Layer, selector: str, *, variable: str) -> type[Any]:
    """Return the class of a backend, loaded and found fit.

    Args:
        layer: The layer it must serve.
        selector: What the variable says: the backend's name, or `name@distribution` to pin one of two claimants.
        variable: The variable that said it, for the errors.

    Raises:
        BackendNotInstalled: Nothing installed answers to the name.
        UnknownBackend: The selector cannot be a backend's name, or the pinned distribution does not bring it.
        PluginConflict: Two distributions claim the name and none is pinned.
        PluginLoadError: It is installed and raises at import, or is not the layer's interface.
        ContractMismatch: It was built for another version of the core or of the layer's contract.
    """
    registration = find_backend(layer, selector, variable=variable)
    _require_compatible_core(registration)
    subject = f"The {layer.name} backend {registration.name!r}"
    backend = _load(registration, subject)
    if not isinstance(backend, type) or not issubclass(backend, layer.interface):
        reason = f"{registration.value} is not a subclass of {layer.interface.__name__}"
        raise PluginLoadError(subject, distribution=registration.distribution, reason=reason)
    missing = sorted(getattr(backend, "__abstractmethods__", ()))
    if missing:
        reason = f"{backend.__name__} does not implement {', '.join(missing)}"
        raise PluginLoadError(subject, distribution=registration.distribution, reason=reason)
    _require_same_contract(layer, backend, registration)
    return backend


def find_backend(layer: Layer, selector: str, *, variable: str) -> Registration:
    """Return the registration that a selector means, without loading it; raises as `load_backend` does."""
    name, _, pinned = selector.strip().lower().partition("@")
    installed = catalogue().names(layer.group)
    if not _NAME.fullmatch(name):
        raise UnknownBackend(layer.name, selector, variable=variable, installed=installed, nearest=nearest(name, installed))
    claims = [found for found in catalogue().in_group(layer.group) if found.name == name]
    if not claims:
        raise BackendNotInstalled(layer.name, name, variable=variable, installed=installed, nearest=nearest(name, installed))
    if pinned:
        return _pinned(layer, claims, selector, canonical_name(pinned), variable)
    if len(claims) > 1:
        distributions = [claim.distribution for claim in claims]
        raise PluginConflict(layer.group, name, distributions=distributions, variable=variable)
    return claims[0]


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that is most like this one, or None if none is."""
    return next(iter(difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)), None)


def _pinned(layer: Layer, claims: list[Registration], selector: str, pinned: str, variable: str) -> Registration:
    for claim in claims:
        if claim.distribution == pinned:
            return claim
    pins = [f"{claim.name}@{claim.distribution}" for claim in claims]
    advice = f"{pinned} does not bring it; set {variable} to one of {', '.join(pins)}"
    raise UnknownBackend(layer.name, selector, variable=variable, installed=pins, nearest=pins[0], advice=advice)


def _load(registration: Registration, subject: str) -> Any:
    try:
        return registration.load()
    except (Exception, SystemExit) as error:  # a plugin may raise anything at import, and hurts only its selector
        reason = f"{type(error).__name__}: {error}"
        extra = _extra_that_brings(error.name, registration) if isinstance(error, ModuleNotFoundError) else None
        raise PluginLoadError(subject, distribution=registration.distribution, reason=reason, extra=extra) from error


def _extra_that_brings(module: str | None, registration: Registration) -> str | None:
    """Return the extra of a plugin's distribution that requires a module's; the one called like the plugin, if it does."""
    needed = canonical_name((module or "").partition(".")[0])
    extras = [
        match["extra"]
        for text in _requirements(registration)
        if (match := _EXTRA.search(text)) and canonical_name(match["needs"]) == needed
    ]
    return registration.name if registration.name in extras else next(iter(extras), None)


def _require_compatible_core(registration: Registration) -> None:
    """Refuse a plugin whose metadata asks for another core: installers see to it, and can be told not to."""
    from packaging.requirements import InvalidRequirement, Requirement

    installed = catalogue().version_of(CORE_DISTRIBUTION)
    for text in _requirements(registration):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if canonical_name(requirement.name) != CORE_DISTRIBUTION or installed is None:
            continue
        if (requirement.marker is None or requirement.marker.evaluate({"extra": ""})) and not requirement.specifier.contains(
            installed, prereleases=True
        ):
            raise ContractMismatch(
                f"{registration.distribution} {registration.version} was built for {CORE_DISTRIBUTION}{requirement.specifier}, "
                f"and {installed} is installed.",
                subject=registration.distribution,
                found=f"version {registration.version} needs {CORE_DISTRIBUTION}{requirement.specifier}",
                expected=f"a version for {CORE_DISTRIBUTION} {installed}",
                remedy=f"install versions that fit: pip install --upgrade {CORE_DISTRIBUTION} {registration.distribution}",
            )


def _requirements(registration: Registration) -> list[str]:
    try:
        return registration.requirements()
    except Exception as error:  # whatever a parser makes of a malformed file
        reason = f"its metadata cannot be read ({type(error).__name__}: {error})"
        raise PluginLoadError(registration.distribution, distribution=registration.distribution, reason=reason) from error


def _require_same_contract(layer: Layer, backend: type[Any], registration: Registration) -> None:
    stated = getattr(backend, "contract_version", 1)
    if stated == layer.contract_version:
        return
    older = registration.distribution if stated < layer.contract_version else _distribution_of(layer)
    raise ContractMismatch(
        f"The {layer.name} backend {registration.name!r} ({registration.distribution} {registration.version}) implements "
        f"version {stated} of the {layer.name} contract; version {layer.contract_version} is needed.",
        subject=registration.distribution,
        found=f"{layer.name} contract version {stated}",
        expected=f"version {layer.contract_version}",
        remedy=f"upgrade the older side: pip install --upgrade {older}",
    )


def _distribution_of(layer: Layer) -> str:
    claims = (found for found in catalogue().in_group(LAYERS_GROUP) if found.name == layer.name)
    return next(claims).distribution
