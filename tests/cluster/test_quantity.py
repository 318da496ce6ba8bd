from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.quantity import largest, parse, resources, show, show_all, total


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("7910m", Fraction(791, 100)), ("29317Mi", 29317 * 1024**2), (2, 2), ("1.5G", 1_500_000_000), ("1e3", 1000),
        (0.5, Fraction(1, 2)), ("64Ki", 65536), ("-1", -1), (".5", Fraction(1, 2)), ("0", 0),
    ],
)  # fmt: skip
def test_quantities_are_exact(written: object, amount: Fraction) -> None:
    assert parse(written) == amount


@pytest.mark.parametrize("written", ["", "26 Gi", "26GB", "Never", None, True, [], "1e999", float("nan"), float("inf")])
def test_what_is_no_quantity_is_none(written: object) -> None:
    assert parse(written) is None


@settings(deadline=None)
@given(st.text() | st.floats() | st.integers())
def test_any_scalar_is_a_quantity_or_none(written: object) -> None:
    assert parse(written) is None or isinstance(parse(written), Fraction)


def test_resources_add_up_and_are_shown_as_people_write_them() -> None:
    first, second = resources({"cpu": "500m", "memory": "1Gi", "bad": "x"}), resources({"cpu": 2, "gpu": 1})
    assert show_all(total([first, second])) == "cpu 2500m, gpu 1, memory 1Gi"
    assert show_all(largest(first, second)) == "cpu 2000m, gpu 1, memory 1Gi"
    assert show("memory", Fraction(29317 * 1024**2)) == "29317Mi"
