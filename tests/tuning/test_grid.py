"""The grid of settings."""

import pytest

from mindcold.errors import RequestError
from mindcold.tuning import Grid


def test_settings_from_the_nearest_to_greedy_on():
    grid = Grid.parse("0.5, 0.1,0.5", "1,0.25")
    assert (grid.alphas, grid.betas) == ((0.1, 0.5), (0.25, 1.0))
    labels = ["cold:alpha=0.5,beta=0.25", "cold:alpha=0.1,beta=0.25", "cold:alpha=0.5,beta=1", "cold:alpha=0.1,beta=1"]
    assert [spec.label for spec in grid.specs()] == labels
    assert grid.specs()[1].options == {"alpha": 0.1, "beta": 0.25} and grid.specs()[1].method == "cold"
    assert grid.spec(1e-7, 1e6).options == {"alpha": 1e-7, "beta": 1e6}


@pytest.mark.parametrize(
    ("alphas", "betas", "message"),
    [
        ("0", "1", "--alphas: alpha: a number in"),
        ("0.1,1.1", "1", "--alphas: alpha: a number in"),
        ("0.1", "-1", "--betas: beta: a number >= 0"),
        ("nan", "1", "--alphas: alpha: a number in"),
        ("", "1", "--alphas: comma-separated numbers are expected, found ''"),
        ("0.1", "x", "--betas: comma-separated numbers are expected, found 'x'"),
        ("0.1", ",".join(map(str, range(65))), "--alphas and --betas: at most 64 settings are tried, found 65"),
    ],
)
def test_what_is_refused(alphas, betas, message):
    with pytest.raises(RequestError) as found:
        Grid.parse(alphas, betas)
    assert str(found.value).startswith(message)
