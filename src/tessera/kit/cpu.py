"""Work for the processor, done beside the event loop by a few child processes.

A child is a bare interpreter at the far end of two pipes. It is started with the first piece of work, imports what that
work needs and nothing of the program that started it, sees none of its environment but the few names below, and goes
away when it has had nothing to do for a while. One that dies takes nothing along: the next piece gets a fresh one.
"""

import asyncio
import contextlib
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import timedelta
from typing import IO, TypeVar, TypeVarTuple

T = TypeVar("T")
Args = TypeVarTuple("Args")

_INHERITED = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "HOME")
"""What a child may see of the environment. Keys and passwords live there too, and a child opens strangers' files."""

_ALONE = {"OPENBLAS_NUM_THREADS": "1"}
"""Children are what runs side by side; threads of a library inside of each would only take memory, by the core."""

MEMORY = 3 * 1024**3
"""Bytes for a child's data: twice what the largest work that was measured takes."""

_LENGTH = struct.Struct(">Q")


class WorkLostError(RuntimeError):
    """The work has no answer: the crew was closed. Done again, it may have one"""


class WorkTooLongError(WorkLostError):
    """The work was stopped: it ran past its limit. Done again, it would do so again"""


class WorkDeadlyError(WorkLostError):
    """A child process died twice over the same piece of work. Done again, it would take another one"""


HOPELESS = (WorkTooLongError, WorkDeadlyError, MemoryError)
"""What the same work would meet again: it is not to be tried once more."""


class Crew:
    """At most ``size`` child processes, and at most one piece of work in flight in each; others wait their turn.

    ``limit`` is the longest that one piece may take, ``linger`` how long an idle child is kept, ``memory`` how many
    bytes a child may take for its data (None: as many as there are); beyond that its work ends with a MemoryError.
    """

    def __init__(
        self,
        size: int = 2,
        *,
        limit: timedelta = timedelta(minutes=2),
        linger: timedelta = timedelta(minutes=1),
        memory: int | None = MEMORY,
    ) -> None:
        self._slots = asyncio.Semaphore(size)
        self._limit = limit.total_seconds()
        self._linger = linger.total_seconds()
        self._memory = memory
        self._idle: list[_Child] = []
        self._timers: dict[_Child, asyncio.TimerHandle] = {}
        self._busy: set[_Child] = set()
        self._tasks: set[asyncio.Task[object]] = set()
        self._closed = False

    async def run(self, fn: Callable[[*Args], T], *args: *Args) -> T:
        """Answer ``fn(*args)``, computed in a child; what it raises is raised here.

        ``fn`` is a module-level function, its arguments and its answer can be pickled, and it may be run a second time
        when a child dies under it. A caller that is cancelled while it waits for its turn gives the turn up; later, the
        piece is finished and its answer thrown away. Raises MemoryError where it needs more than it may have,
        WorkTooLongError, WorkDeadlyError, and WorkLostError after ``close``.
        """
        order = pickle.dumps((fn, args))
        await self._slots.acquire()
        if self._closed:
            self._slots.release()
            raise WorkLostError("The work was not begun: the crew is closed")
        task = asyncio.create_task(self._work(order))
        self._tasks.add(task)
        task.add_done_callback(self._done)
        good, answer = pickle.loads(await asyncio.shield(task))  # noqa: S301 - written by our own child
        if good:
            return answer  # type: ignore[no-any-return]
        raise answer

    async def close(self) -> None:
        """Stop every child, at once where it is busy. Work under way is lost; safe to call twice."""
        self._closed = True
        for child in self._busy:
            child.kill()
        while self._idle:
            self._retire(self._idle[-1])
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _done(self, task: asyncio.Task[object]) -> None:
        """Give the turn back, and look at the error: its caller may be gone, and then nobody else will."""
        self._tasks.discard(task)
        self._slots.release()
        if not task.cancelled():
            task.exception()

    async def _work(self, order: bytes) -> bytes:
        try:
            return await self._once(order)
        except _DiedError:
            pass  # killed from outside, for memory perhaps: once more, on a fresh child
        try:
            return await self._once(order)
        except _DiedError as error:
            raise WorkDeadlyError("A child process died twice over the same piece of work") from error

    async def _once(self, order: bytes) -> bytes:
        if self._closed:
            raise WorkLostError("The work was not done: the crew is closed")
        child = self._take()
        self._busy.add(child)
        alarm = asyncio.get_running_loop().call_later(self._limit, child.kill)
        try:
            answer = await asyncio.to_thread(child.call, order)
        except _KilledError as error:
            if self._closed:
                raise WorkLostError("The work was stopped: the crew was closed") from error
            raise WorkTooLongError(f"The work was stopped: it ran past its limit of {self._limit:g} s") from error
        finally:
            alarm.cancel()
            self._busy.discard(child)
        self._keep(child)
        return answer

    def _take(self) -> "_Child":
        if not self._idle:
            return _Child(self._memory)
        child = self._idle.pop()
        self._timers.pop(child).cancel()
        return child

    def _keep(self, child: "_Child") -> None:
        self._idle.append(child)
        self._timers[child] = asyncio.get_running_loop().call_later(self._linger, self._retire, child)
        if self._closed or child.killed:  # the alarm may ring in the moment of the answer
            self._retire(child)

    def _retire(self, child: "_Child") -> None:
        self._idle.remove(child)
        self._timers.pop(child).cancel()
        task: asyncio.Task[object] = asyncio.create_task(asyncio.to_thread(child.dismiss))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _DiedError(Exception):
    """The child is gone, and not by our hand."""


class _KilledError(Exception):
    """We have stopped the child ourselves."""


class _Child:
    """One process and the pipes to it. ``call`` and ``dismiss`` block and belong in a thread; ``kill`` does not."""

    def __init__(self, memory: int | None) -> None:
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._killed = False
        self._lock = threading.Lock()

    def call(self, order: bytes) -> bytes:
        try:
            process = self._start()
            assert process.stdin is not None and process.stdout is not None
            _send(process.stdin, order)
            return _receive(process.stdout)
        except (OSError, EOFError) as error:
            self.kill(ours=False)
            self.dismiss()
            raise (_KilledError if self._killed else _DiedError) from error

    @property
    def killed(self) -> bool:
        return self._killed

    def kill(self, *, ours: bool = True) -> None:
        with self._lock:
            self._killed = self._killed or ours
            if self._process is not None:
                self._process.kill()

    def dismiss(self, patience: float = 2.0) -> None:
        """Let go: a child whose pipe closes leaves by itself, and one that does not is stopped."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._killed:
                raise EOFError
            if self._process is None:
                # A session of its own, so that a Ctrl-C at the terminal reaches the parent alone.
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own words
                    [sys.executable, "-I", "-c", _program(self._memory)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=_ALONE | {name: os.environ[name] for name in _INHERITED if name in os.environ},
                    start_new_session=True,
                )
            return self._process


def _program(memory: int | None) -> str:
    """What a child runs: nothing of our main module, and modules from where we have them."""
    return f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve({memory!r})"


def serve(memory: int | None = None) -> None:
    """Answer orders until the pipe closes: the whole life of a child, which has ``memory`` bytes for its data."""
    _bound(memory)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)  # the parent drains, and then tells us
    if hasattr(os, "nice"):
        os.nice(5)  # the event loop beside us comes first
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a stray print must not look like an answer
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            _send(answers, _answer(_receive(sys.stdin.buffer)))


def _bound(memory: int | None) -> None:
    """Take no more than this, where the system can hold us to it.

    What counts is what may be written to: the code of libraries, and addresses that are merely set aside, are free.
    """
    if memory is None or sys.platform == "win32":
        return
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    bound = memory if most == resource.RLIM_INFINITY else min(memory, most)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))


def _answer(order: bytes) -> bytes:
    try:
        fn, args = pickle.loads(order)  # noqa: S301 - written by our own parent
        return pickle.dumps((True, fn(*args)))
    except MemoryError as error:
        error.__traceback__ = error.__context__ = None  # the frames hold what has filled the memory
        return pickle.dumps((False, MemoryError(str(error) or "The work needs more memory than it may have")))
    except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to the one who gave the order
        error.add_note("In a child process:\n" + traceback.format_exc())
        return _portable(error)


def _portable(error: Exception) -> bytes:
    """The error as bytes; one that would not survive the journey becomes a RuntimeError with its text."""
    try:
        answer = pickle.dumps((False, error))
        pickle.loads(answer)  # noqa: S301 - just written, to see whether it can be read
        return answer
    except Exception:  # noqa: BLE001 - an error may refuse in any way it likes
        return pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {error}")))


def _send(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(_LENGTH.pack(len(message)))
    pipe.write(message)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    """One message. Raises EOFError where the other side is gone, in the middle of one too."""
    (length,) = _LENGTH.unpack(_exactly(pipe, _LENGTH.size))
    return _exactly(pipe, length)


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data
