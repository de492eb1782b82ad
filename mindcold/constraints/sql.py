"""SQL that runs, judged by sqlite."""

from mindcold.constraints.protocol import ConstraintError, State, Vocabulary
from mindcold.constraints.text import TextState
from mindcold.errors import one_line
from mindcold.isolated import TaskError, call


class SqlExecutes:
    """One SQL statement that runs: 1 for one sqlite3 executes on the schema, 1/2 for one it can at least parse, else 0.

    The text as a whole is judged. White space, comments and semicolons around the statement do not count; with more
    statements after it the value is 1/2 if all can be parsed, and with anything else 0. Every evaluation has a database
    of its own in memory, without extensions and without files, in a process of bounded time and memory
    (`mindcold.isolated`), and ends after a set number of instructions. ConstraintError for a schema that does not.
    """

    cumulative = False

    def __init__(self, schema: str = ""):
        self.schema = schema
        try:
            call("queries", "check", schema)
        except TaskError as error:
            raise ConstraintError(f"constraint SqlExecutes: schema: {one_line(error)}") from None

    def start(self, vocabulary: Vocabulary) -> State:
        """The empty text."""
        return TextState(vocabulary.text("SqlExecutes"), self.score, explain=lambda text: self._run(text)[1])

    def score(self, text: str) -> float:
        """The value of one text: 0, 1/2 or 1."""
        return self._run(text)[0]

    def _run(self, text: str) -> tuple[float, str]:
        """Its value, and what sqlite says of it."""
        try:
            value, says = call("queries", "judge", self.schema, text)
        except TaskError as error:
            return 0.5, one_line(error)
        return value, says
