"""Load and decode a model while Python's audit events are recorded; prints them, with the number of tokens, as JSON.

`python -m tests.audited MODEL ADAPTER`
"""

import json
import sys
from pathlib import Path
from types import CodeType

import mindcold
import mindcold.llm  # MindSpore's own start-up is not what is looked at

FORBIDDEN = ("socket.", "pickle.", "os.system", "urllib.", "http.", "ftplib.", "smtplib.")
SHELLS = ("sh", "bash", "dash")


def main(model: str, adapter: str) -> None:
    events, opened = [], 0

    def record(event, arguments):
        nonlocal opened
        opened += event == "open"
        code = arguments[0] if event == "exec" else None
        stranger = isinstance(code, CodeType) and code.co_filename.startswith((model, adapter))
        shell = event == "subprocess.Popen" and Path(str(arguments[0])).name in SHELLS
        if stranger or shell or event.startswith(FORBIDDEN):
            events.append(f"{event} {arguments!r:.200}")

    sys.addaudithook(record)
    llm = mindcold.load(model, adapter)
    out = llm.generate([3, 4, 5], method="cold", draft="trigram", max_new_tokens=4, eos_token_id=-1)
    print(json.dumps({"tokens": len(out.token_ids), "opened": opened, "events": events}))


if __name__ == "__main__":
    main(*sys.argv[1:])
