"""Regular expressions of many forms: such as backtrack without end, make huge automata, or are none."""

from collections.abc import Sequence

from hypothesis import strategies as st


def expressions(atoms: Sequence[str], repeats: Sequence[str]) -> st.SearchStrategy[str]:
    """Made of these atoms, one after the other, as alternatives, or repeated."""
    return st.recursive(
        st.sampled_from(atoms),
        lambda inner: st.one_of(
            st.lists(inner, min_size=2, max_size=4).map("".join),
            st.lists(inner, min_size=2, max_size=3).map("|".join).map(lambda text: f"({text})"),
            st.tuples(inner, st.sampled_from(["(", "(?:"]), st.sampled_from(repeats)).map(
                lambda part: f"{part[1]}{part[0]}){part[2]}"
            ),
        ),
        max_leaves=8,
    )
