"""Order between the pipes of a vector core: one vector clock for each, and who touched each byte last.

The scalar unit (S) hands instructions to queues: V (vector), MTE2 (global memory to unified buffer) and MTE3 (back).
Queues run side by side. Only flags and barriers order them:

* set_flag(A, B, id) is done when everything before it in A is; wait_flag(A, B, id) holds B back until then. What S
  waits for holds everything back that follows, since S hands out all instructions. A flag is one bit: sets and waits
  come in turn (CANN's Ascend C reference, SetFlag / WaitFlag);
* pipe_barrier(P) holds P back until all before it in P is done;
* without them nothing is known to be done, not even what the same queue was given before. Only S goes step by step.

This is the model the compiler's synchronisation is checked against, on the strict side of what the hardware may do.
"""

from collections import Counter, defaultdict, deque

import numpy as np

PIPES = ("S", "V", "MTE2", "MTE3")
_NUMBER = {name: i for i, name in enumerate(PIPES)}


class Shadow:
    """For each byte of a memory, the last write and each pipe's last read, as numbers of instructions of a pipe."""

    def __init__(self, size: int):
        self.write_pipe = np.zeros(size, np.int8)
        self.write_count = np.zeros(size, np.int32)  # 0: never written
        self.reads = np.zeros((len(PIPES), size), np.int32)


class Clocks:
    """What each pipe knows to be done while a kernel runs; findings are counted by their text."""

    def __init__(self) -> None:
        self.known = np.zeros((len(PIPES), len(PIPES)), np.int64)
        self.issued = np.zeros(len(PIPES), np.int64)
        self.instructions: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self._flags: dict[tuple[str, str, int], deque[np.ndarray]] = defaultdict(deque)
        self._label: dict[tuple[int, int], str] = {}

    def set_flag(self, source: str, target: str, event: int) -> None:
        """A flag is raised: a second time before anything waited for it is a finding."""
        a = _NUMBER[source]
        snapshot = self.known[a].copy()
        snapshot[a] = self.issued[a]
        queue = self._flags[source, target, event]
        if queue:
            self.findings[f"flag set twice: {source} to {target}, event {event}"] += 1
        queue.append(snapshot)

    def wait_flag(self, source: str, target: str, event: int, blind: bool = False) -> None:
        """A flag is waited for; a wait that no set precedes would never end. A blind one orders nothing."""
        queue = self._flags[source, target, event]
        if not queue:
            self.findings[f"deadlock: {target} waits for {source}, event {event}"] += 1
            return
        snapshot = queue.popleft()
        if blind:
            return
        for pipe in range(len(PIPES)) if target == "S" else (_NUMBER[target],):
            np.maximum(self.known[pipe], snapshot, out=self.known[pipe])

    def barrier(self, pipe: str) -> None:
        """Everything before it in a pipe ("ALL": in all) is done."""
        if pipe == "ALL":
            self.known[:] = np.maximum(self.known, self.issued)
            return
        p = _NUMBER[pipe]
        self.known[p, p] = self.issued[p]

    def instruction(
        self,
        pipe: str,
        label: str,
        reads: list[tuple[Shadow, np.ndarray | slice]],
        writes: list[tuple[Shadow, np.ndarray | slice]],
    ) -> None:
        """An instruction is handed to a pipe; it reads and writes these bytes."""
        p = _NUMBER[pipe]
        self.issued[p] += 1
        self.instructions[pipe] += 1
        self._label[p, int(self.issued[p])] = label
        known = self.known[p].copy()
        if pipe == "S":  # one after another
            known[p] = self.issued[p]
        for shadow, where in reads:
            self._check(shadow.write_pipe[where], shadow.write_count[where], known, label, "reads before written by")
        for shadow, where in writes:
            self._check(
                shadow.write_pipe[where], shadow.write_count[where], known, label, "overwrites what is due from"
            )
            for other in range(len(PIPES)):
                late = shadow.reads[other][where]
                if late.size and late.max() > known[other]:
                    self._found(label, "overwrites before read by", other, int(late.max()))
        for shadow, where in reads:
            shadow.reads[p][where] = self.issued[p]
        for shadow, where in writes:
            shadow.write_pipe[where], shadow.write_count[where] = p, self.issued[p]

    def finish(self) -> None:
        """The kernel ends: flags that nothing waited for are findings, and work not known to be done."""
        for p, pipe in enumerate(PIPES):
            if pipe != "S" and self.known[_NUMBER["S"], p] < self.issued[p]:
                self.findings[f"the kernel ends before {pipe} is done"] += 1
        for (source, target, event), queue in self._flags.items():
            if queue:
                self.findings[f"flag never waited for: {source} to {target}, event {event}"] += len(queue)

    def _check(self, pipes: np.ndarray, counts: np.ndarray, known: np.ndarray, label: str, verb: str) -> None:
        late = counts > known[pipes]
        if late.any():
            at = int(np.argmax(late))
            self._found(label, verb, int(pipes.flat[at]), int(counts.flat[at]))

    def _found(self, label: str, verb: str, pipe: int, count: int) -> None:
        self.findings[f"race: {label} {verb} {PIPES[pipe]} {self._label.get((pipe, count), '?')}"] += 1
