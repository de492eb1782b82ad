"""Chat templates from the grammar of jinja2: harmless, wrong, reaching outside, endless and huge."""

from typing import Any

from hypothesis import strategies as st

from mindcold.chat import render

KIND = "chat templates"

_SMALL = st.sampled_from(
    [
        "1",
        "0",
        "-1",
        "'a'",
        "messages",
        "messages[0].content",
        "messages[9]",
        "none",
        "true",
        "missing",
        "x",
        "[]",
        "{}",
    ]
)
_LARGE = st.sampled_from(["10**7", "99999", "10**10", "'a' * 10**6", "range(99999)", "lipsum(3)", "2**99", "10**400"])
_OUTSIDE = st.sampled_from(
    [
        "''.__class__",
        "messages.append(1)",
        "self",
        "cycler.__init__.__globals__",
        "raise_exception",
        "x.x.x",
        "namespace()",
    ]
)
_FILTERS = ["trim", "tojson", "length", "upper", "center(9999)", "list", "join(',')", "int", "batch(3)", "indent(99)"]
_FILTERS += ["format(1)", "first", "sort", "unique", "replace('a', 'aaaa')", "wordwrap(1)", "abs", "attr('__class__')"]
_EXPRESSIONS = st.recursive(
    st.one_of(_SMALL, _SMALL, _SMALL, _SMALL, _LARGE, _OUTSIDE),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%", "~", "==", "in", "and", "**"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        st.tuples(inner, st.sampled_from(_FILTERS)).map(" | ".join).map(lambda text: f"({text})"),
        st.tuples(inner, st.sampled_from(["[0]", "[::-1]", ".content", "()", "(1)", ".items()"])).map("".join),
    ),
    max_leaves=4,
)
_TEMPLATES = st.recursive(
    st.one_of(
        st.text(max_size=10),
        _EXPRESSIONS.map(lambda text: f"{{{{ {text} }}}}"),
        _EXPRESSIONS.map(lambda text: f"{{% set x = {text} %}}"),
        st.sampled_from(
            ["{% if %}", "{{", "%}", "{% endfor %}", "{% include 'x' %}", "{# x", "{% break %}", "{% x %}"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.tuples(_EXPRESSIONS, inner).map(lambda pair: f"{{% for x in {pair[0]} %}}{pair[1]}{{% endfor %}}"),
        st.tuples(_EXPRESSIONS, inner).map(lambda pair: f"{{% if {pair[0]} %}}{pair[1]}{{% else %}}n{{% endif %}}"),
        inner.map(lambda text: f"{{% macro m(x) %}}{text}{{{{ m(x) }}}}{{% endmacro %}}{{{{ m(1) }}}}"),
        inner.map(lambda text: f"{{% generation %}}{text}{{% endgeneration %}}"),
    ),
    max_leaves=6,
)
_TAME = st.recursive(
    st.sampled_from(
        ["a", "{{ 1 }}", "{{ messages[0].content }}", "{{ messages | length }}", "{# x #}", "{% set x = 1 %}"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        inner.map(lambda text: f"{{% for message in messages %}}{text}{{% endfor %}}"),
        inner.map(lambda text: f"{{% if messages[0].role == 'user' %}}{text}{{% endif %}}"),
    ),
    max_leaves=5,
)
_NESTED = st.tuples(
    st.sampled_from(["{% if 1 %}", "{% for x in messages %}", "{{ (", "{% macro m() %}", "{% set x %}"]),
    st.sampled_from([19, 30, 500, 20_000]),
).map(lambda pair: pair[0] * pair[1])


def strategy() -> st.SearchStrategy[Any]:
    """A template, and the content of the one message."""
    content = st.text(max_size=5) | st.sampled_from(["\ud800", "x" * 10**5, "{{ 1 }}"])
    return st.tuples(st.one_of(_TEMPLATES, _TEMPLATES, _TEMPLATES, _TAME, _NESTED), content)


def run(case: Any) -> None:
    """Render it."""
    template, content = case
    render(template, [{"role": "user", "content": content}])
