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

_LENGTH = struct.Struct(">Q")


class WorkLostError(RuntimeError):
    """The work has no answer: its child died twice, it ran past its limit, or the crew was closed"""


class Crew:
    """At most ``size`` child processes, and at most one piece of work in flight in each; others wait their turn.

    ``limit`` is the longest that one piece may take, ``linger`` how long an idle child is kept.
    """

    def __init__(
        self,
        size: int = 2,
        *,
        limit: timedelta = timedelta(minutes=2),
        linger: timedelta = timedelta(minutes=1),
    ) -> None:
        self._slots = asyncio.Semaphore(size)
        self._limit = limit.total_seconds()
        self._linger = linger.total_seconds()
        self._idle: list[_Child] = []
        self._timers: dict[_Child, asyncio.TimerHandle] = {}
        self._busy: set[_Child] = set()
        self._tasks: set[asyncio.Task[object]] = set()
        self._closed = False

    async def run(self, fn: Callable[[*Args], T], *args: *Args) -> T:
        """Answer ``fn(*args)``, computed in a child; what it raises is raised here.

        ``fn`` is a module-level function, its arguments and its answer can be pickled, and it may be run a second time
        when a child dies under it. A caller that is cancelled while it waits for its turn gives the turn up; later, the
        piece is finished and its answer thrown away. Raises WorkLostError, after ``close`` always.
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
        except _KilledError as error:
            raise WorkLostError("The work was stopped: it ran past its limit, or the crew was closed") from error
        try:
            return await self._once(order)
        except (_DiedError, _KilledError) as error:
            raise WorkLostError("A child process died twice over the same piece of work") from error

    async def _once(self, order: bytes) -> bytes:
        if self._closed:
            raise _KilledError
        child = self._take()
        self._busy.add(child)
        alarm = asyncio.get_running_loop().call_later(self._limit, child.kill)
        try:
            answer = await asyncio.to_thread(child.call, order)
        finally:
            alarm.cancel()
            self._busy.discard(child)
        self._keep(child)
        return answer

    def _take(self) -> "_Child":
        if not self._idle:
            return _Child()
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

    def __init__(self) -> None:
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
                    [sys.executable, "-I", "-c", _program()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={name: os.environ[name] for name in _INHERITED if name in os.environ},
                    start_new_session=True,
                )
            return self._process


def _program() -> str:
    """What a child runs: nothing of our main module, and modules from where we have them."""
    return f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"


def serve() -> None:
    """Answer orders until the pipe closes: the whole life of a child."""
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)  # the parent drains, and then tells us
    if hasattr(os, "nice"):
        os.nice(5)  # the event loop beside us comes first
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a stray print must not look like an answer
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            _send(answers, _answer(_receive(sys.stdin.buffer)))


def _answer(order: bytes) -> bytes:
    try:
        fn, args = pickle.loads(order)  # noqa: S301 - written by our own parent
        return pickle.dumps((True, fn(*args)))
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
