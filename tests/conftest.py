"""The order in which processes take files of tests: the long ones first, so that none runs alone at the end."""

from collections import Counter
from pathlib import Path

MINUTES = [
    "mindformers/test_networks.py",
    "batch/test_faults.py",
    "ascend/test_own_process.py",
    "modelarts/test_job.py",
    "test_ray.py",
    "parity/test_smollm2.py",
    "training/test_faults.py",
    "ops/test_akg.py",
    "batch/test_ranks.py",
    "mindformers/test_pipeline.py",
    "cli/test_tune.py",
]
"""Files that take long for their number of tests; of the others that number says enough."""


def pytest_collection_modifyitems(items):
    """Sort by files; tools/test.sh tells xdist to keep that order."""
    folder = Path(__file__).parent
    names = [str(item.path.relative_to(folder)) for item in items]
    count = Counter(names)
    place = {name: (0, MINUTES.index(name)) if name in MINUTES else (1, -count[name]) for name in count}
    order = sorted(range(len(items)), key=lambda i: (place[names[i]], names[i]))
    items[:] = [items[i] for i in order]
