"""The settings of CoLD that are tried: every alpha with every beta."""

from dataclasses import dataclass

from mindcold.errors import RequestError
from mindcold.sampling_params import SamplingParams
from mindcold.tasks.methods import MethodSpec, parse_method

LIMIT = 64
"""Settings of a grid; more would be chosen by chance."""

GREEDY = parse_method("greedy")
"""What they are compared with: the adapter alone."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Alphas and betas, ascending."""

    alphas: tuple[float, ...]
    betas: tuple[float, ...]

    @classmethod
    def parse(cls, alphas: str, betas: str) -> "Grid":
        """From comma-separated numbers; RequestError names the flag."""
        grid = cls(_numbers("alpha", alphas), _numbers("beta", betas))
        if len(grid.alphas) * len(grid.betas) > LIMIT:
            raise RequestError(f"--alphas and --betas: at most {LIMIT} settings are tried, found {len(grid.specs())}")
        return grid

    def spec(self, alpha: float, beta: float) -> MethodSpec:
        """One setting."""
        return parse_method(f"cold:alpha={alpha:.10g},beta={beta:.10g}")

    def specs(self) -> list[MethodSpec]:
        """All settings, those nearest to the adapter alone first: of equal scores the first is taken."""
        return [self.spec(alpha, beta) for beta in self.betas for alpha in reversed(self.alphas)]


def _numbers(name: str, text: str) -> tuple[float, ...]:
    flag = f"--{name}s"
    try:
        found = sorted({float(item) for item in text.split(",")})
    except ValueError:
        raise RequestError(f"{flag}: comma-separated numbers are expected, found {text[:80]!r}") from None
    for value in found:
        try:
            SamplingParams.of({name: value})
        except RequestError as error:
            raise RequestError(f"{flag}: {error}") from None
    return tuple(found)
