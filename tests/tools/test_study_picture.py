"""The study's picture from two tunings that are made up."""

import importlib.util
from pathlib import Path

from matplotlib import pyplot

PATH = Path(__file__).parents[2] / "tools" / "study_picture.py"
SPEC = importlib.util.spec_from_file_location("study_picture", PATH)
picture = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(picture)


def tuning(alphas, betas):
    difference = {"value": -0.05, "low": -0.13, "high": 0.03}
    grid = [{"alpha": alpha, "beta": beta, "difference": difference} for beta in betas for alpha in alphas]
    return {"greedy": {"value": 0.27}, "grid": grid}


def test_a_place_per_run_and_per_alpha():
    figure, axes = pyplot.subplots()
    picture.panel(axes, "pairs", {"100": tuning([0.1], [0.25, 0.5]), "1,000": tuning([0.1, 0.5], [0.5])})
    labels = [tick.get_text() for tick in axes.get_xticklabels()]
    assert labels == ["100\ngreedy 27 %", "1,000\nalpha 0.1", "1,000\nalpha 0.5"]
    points = [(bars[0].get_xdata()[0], bars[0].get_ydata()[0]) for bars in axes.containers]
    assert [place for place, _ in points] == [-0.08, 0.08, 1.0, 2.0] and all(y == -5 for _, y in points)
    ends = axes.containers[0][2][0].get_segments()[0][:, 1]
    assert ends.round(9).tolist() == [-13, 3]
    pyplot.close(figure)


def test_panels_share_a_legend(tmp_path):
    runs = {"a": tuning([0.1], [0.25, 1.0])}
    picture.draw(tmp_path / "study.png", [("one", runs), ("two", runs), ("three", runs)])
    assert (tmp_path / "study.png").read_bytes()[:4] == b"\x89PNG"
