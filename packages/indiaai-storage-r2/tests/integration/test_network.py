"""A bad network before the data plane `lean`: what is used unless another is asked for."""

from __future__ import annotations

import pytest

from network import (  # noqa: F401 - fixtures and tests, which pytest finds here
    _no_log_of_answers_that_were_cut,
    pytestmark,
    site,
    store,
    test_a_lasting_mishap_ends_in_an_error,
    test_a_name_that_is_not_found_is_asked_for_again,
    test_a_store_that_is_away_for_a_while_is_waited_for,
    test_one_mishap_is_survived,
)


@pytest.fixture
def plane() -> str:
    """The data plane."""
    return "lean"
