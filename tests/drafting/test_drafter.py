"""Draft trees: parts of them are trees too."""

from hypothesis import given
from hypothesis import strategies as st

from mindcold.drafting import Draft


@st.composite
def drafts(draw):
    draft = Draft()
    for node in range(draw(st.integers(0, 20))):
        draft.add(draw(st.integers(0, 9)), draw(st.integers(-1, node - 1)), 1 / (1 + node))
    return draft


@given(drafts(), st.integers(0, 8))
def test_a_shallow_tree_has_all_paths_of_that_length(draft, depth):
    found = draft.shallow(depth)
    assert found.paths() == [path for path in draft.paths() if len(path) <= depth]
    assert len(found.probabilities) == len(found.tokens)


@given(st.dictionaries(st.lists(st.integers(0, 2), min_size=1, max_size=4).map(tuple), st.floats(0.1, 1), max_size=12))
def test_a_tree_of_the_likeliest_paths(chances):
    """Paths whose beginnings are all there, each no likelier than they are."""
    paths = {}
    for path in sorted(chances, key=len):
        if len(path) == 1 or path[:-1] in paths:
            paths[path] = chances[path] * paths.get(path[:-1], 1.0)
    for count in (*range(len(paths) + 1), None):
        found = Draft.of_paths(paths, count)
        best = sorted(paths.values(), reverse=True)[: len(paths) if count is None else count]
        assert found.probabilities == best == [paths[path] for path in found.paths()]
