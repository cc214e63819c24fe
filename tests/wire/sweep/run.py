"""The sweep: every operation is sent its examples, its tasks are followed to their end, its refusals are provoked."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from tests.wire.sweep import plans
from tests.wire.sweep.documents import DOCUMENTS, Operation, lacking, operations
from tests.wire.sweep.plans import Plan, plan
from tests.wire.sweep.world import GLANCE, PATIENCE, Answer, World

from tessera.webhooks import sign

AT_ONCE = 6
"""Operations that are swept side by side."""

RENDITIONS = frozenset({"getVeo31Video1080p"})

UNKNOWN = "0" * 31 + "f"
"""An id that nothing has."""

NO_VALUE = "no-such-value"

FAULTS = (("400", "refused content"), ("451", "an input that cannot be fetched"), ("500", "a failure of the provider"))
"""Directives of the sandbox that end in a failed task, and what each stands for."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was tried. ``wrong`` says what of it was not as the document has it."""

    operation: str
    sent: str
    came: str
    wrong: tuple[str, ...] = ()
    refusal: bool = False


@dataclass(slots=True)
class Sweep:
    """``quick`` leaves out results that take long to make."""

    world: World
    quick: bool = False
    lines: list[Line] = field(default_factory=list)

    def note(
        self, operation: Operation, sent: str, came: str, wrong: Sequence[str] = (), *, refusal: bool = False
    ) -> None:
        self.lines.append(Line(operation.id, sent, came, tuple(dict.fromkeys(map(_still, wrong))), refusal))

    async def run(self) -> list[Line]:
        self.world.frugal = self.quick
        every = [operation for document in DOCUMENTS for operation in operations(document)]
        served = await self._served(every)
        await self._side_by_side(self._live, served)
        await self._prepare(served)
        await self._without_means([each for each in served if not plan(each.id).record])
        async with self.world.held():
            await self._side_by_side(self._refusals, served)
            await self._without_means([each for each in served if plan(each.id).record])
            await self._side_by_side(self._waiting, served)
        order = {operation.id: number for number, operation in enumerate(every)}
        self.lines.sort(key=lambda line: order[line.operation])
        return self.lines

    async def _served(self, every: Sequence[Operation]) -> list[Operation]:
        served = []
        for operation in every:
            answer = await self.world.send(operation, {}, key=None)
            if answer.status in {404, 405}:
                self.note(operation, "anything", f"HTTP {answer.status}", ["is not served"])
            else:
                served.append(operation)
        return served

    async def _side_by_side(self, sweep: Callable[[Operation], Awaitable[None]], every: Sequence[Operation]) -> None:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(operation: Operation) -> None:
            async with room:
                try:
                    await sweep(operation)
                except (AssertionError, KeyError, TypeError, TimeoutError) as error:
                    # What one operation answers must not hide the others: this is the finding.
                    self.note(operation, sweep.__name__.strip("_"), "the sweep could not go on", [repr(error)[:300]])

        await asyncio.gather(*map(one, every))

    # With the gateway at work

    async def _live(self, operation: Operation) -> None:
        known = plan(operation.id)
        if operation.id in RENDITIONS and not self.quick:
            await self._rendition(operation, known)
        if operation.method == "get" and not operation.query:
            answer = await self.world.send(operation, {})
            self.note(operation, "nothing but the call", _came(answer), _judged(operation, answer, 200))
        if not operation.examples:
            return
        if known.light or not self.quick:
            for name, example in operation.examples.items():
                await self._example(operation, known, name, example)
        if known.gone:
            answer = await self.world.send(operation, await self._without_files(operation, known))
            wrong = _judged(operation, answer, None)
            wrong += [] if answer.code in known.gone else [f"answered {_came(answer)}: {_msg(answer)}"]
            self.note(operation, "a file that cannot be found", _came(answer), wrong)
        if known.record and known.text:
            await self._trouble(operation, known)
        elif known.text:
            await self._trouble_at_once(operation, known)

    async def _example(self, operation: Operation, known: Plan, name: str, example: Any) -> None:
        body = await self.world.filled(operation, known, example, "live")
        answer = await self.world.send(operation, body)
        wrong = _judged(operation, answer, 200)
        sent = f"example `{name}`"
        if answer.code != 200 or known.record is None:
            if answer.code == 200 and answer.json is not None:
                wrong += _against(operation.told(), answer.json, _of_code_200)
            self.note(operation, sent, _came(answer), wrong)
            if operation.streams:
                answer = await self.world.send(operation, {**body, "stream": True})
                kind = answer.media_type.partition(";")[0]
                self.note(operation, f"{sent}, as a stream", f"{_came(answer)} {kind}", _judged(operation, answer, 200))
            await self._again(operation, known, body)
            return
        came, found = await self._end(operation, known, body, _task_id(answer), good=True)
        self.note(operation, sent, f"{_came(answer)}; {came}", [*wrong, *found])
        await self._again(operation, known, body)

    async def _again(self, operation: Operation, known: Plan, body: Any) -> None:
        """The same, of which there can be only one."""
        if known.again:
            answer = await self.world.send(operation, body)
            wrong = _judged(operation, answer, None)
            if answer.code not in known.again:
                wrong.append(f"answered {_came(answer)}: {_msg(answer)}")
            self.note(operation, "the same again", _came(answer), wrong)

    async def _rendition(self, operation: Operation, known: Plan) -> None:
        """A rendition is asked for with the very call that starts it."""
        thing = await self.world.thing(known.things["taskId"].rpartition(".")[0], "live")
        query = {"taskId": thing["task"]}
        answer = await self.world.send(operation, query)
        self.note(operation, "the first call", _came(answer), _judged(operation, answer, 400))
        async with asyncio.timeout(PATIENCE):
            while (answer := await self.world.send(operation, query)).code == 400:
                await asyncio.sleep(GLANCE)
        wrong = [*_judged(operation, answer, 200), *_against(operation.told(), answer.json, _of_code_200)]
        self.note(operation, "a call when it is there", _came(answer), [*wrong, *await self._files(answer.json)])

    async def _end(
        self, operation: Operation, known: Plan, body: Mapping[str, Any], task_id: str, *, good: bool
    ) -> tuple[str, list[str]]:
        """What the record and the callbacks say of a task that comes to its end, and what of it is wrong."""
        record = _operation(known.record or "")
        shown = await self.world.followed(record.path, task_id, name=_parameter(record))
        coded = record.id in plans.CODED
        wrong = [f"record: {each}" for each in _judged(record, shown, None if coded else 200)]
        if shown.code not in {200, 201} and not coded:
            return f"record {_came(shown)}", wrong
        state = plans.state(record.id, shown.json)
        if plans.succeeded(record.id, shown.json) is not good:
            wrong.append(
                f"record: ended with {state} ({_reason(shown.json)})" if good else f"record: ended with {state}"
            )
        wrong += [f"record: {each}" for each in self._compared(record, shown.json, state)]
        if good:
            wrong += await self._files(shown.json)
        told, found = await self._callbacks(operation, body)
        return f"record {state}{told}", [*wrong, *found]

    def _compared(self, record: Operation, shown: Any, state: str) -> list[str]:
        """Fields that the document shows of a record in this state, and ours has not."""

        def alike(example: Any) -> bool:
            return bool(plans.state(record.id, example) == state)

        return _against(record.told(), shown, alike)

    async def _files(self, shown: Any) -> list[str]:
        """Links in a record that lead nowhere."""
        wrong = []
        for url in dict.fromkeys(_links(shown, self.world.gateway.base_url)):
            answer = await self.world.ask("HEAD", url.removeprefix(self.world.gateway.base_url), key=None)
            if answer.status != 200:
                wrong.append(f"record: a link answers HTTP {answer.status}")
        return wrong

    async def _callbacks(self, operation: Operation, body: Mapping[str, Any]) -> tuple[str, list[str]]:
        """What the receiver was told, up to the end, and what of it is wrong."""
        if not operation.calls_back or not operation.callback_field or operation.callback_field not in body:
            return "", []
        stages: list[str] = []
        wrong: list[str] = []
        last = False
        while not last:
            try:
                received = await self.world.told(body[operation.callback_field])
            except TimeoutError:
                return f"; callbacks {', '.join(stages) or 'none'}", [*wrong, "callback: did not come"]
            said = json.loads(received.body)
            stage = said["data"].get("callbackType") if isinstance(said.get("data"), dict) else None
            last = stage not in {"text", "first"}
            stages.append(f"{stage} {said.get('code')}" if stage else str(said.get("code")))
            wrong += [f"callback: {each}" for each in operation.callback_problems(received.body)]
            wrong += [f"callback: {each}" for each in _against(operation.callback_examples(), said, _same_kind(said))]
            if not _signed(received.headers, said, self.world.account.webhook_secret):
                wrong.append("callback: the signature is not over the task's id and the time")
        return f"; callbacks {', '.join(stages)}", wrong

    async def _trouble(self, operation: Operation, known: Plan) -> None:
        """Tasks that hang and are canceled, and those that fail."""
        task_id, body = await self._directed(operation, known, "hang")
        if task_id is None:
            return
        await self._hanging(operation, known, task_id, body)
        for fault, meaning in FAULTS if known.light or not self.quick else FAULTS[-1:]:
            task_id, body = await self._directed(operation, known, f"fail={fault}")
            if task_id is not None:
                came, wrong = await self._end(operation, known, body, task_id, good=False)
                self.note(operation, meaning, came, wrong)
        if any(map(_files_of, operation.examples.values())) and not self.quick:
            await self._gone(operation, known)

    async def _hanging(self, operation: Operation, known: Plan, task_id: str, body: Mapping[str, Any]) -> None:
        record = _operation(known.record or "")
        state = await self.world.reached(task_id, "running")
        shown = await self.world.ask("GET", record.path, params={_parameter(record): task_id})
        wrong = [f"record: {each}" for each in _judged(record, shown, 200)]
        wrong += [] if state == "running" else [f"the task is {state}"]
        if shown.json.get("data"):
            wrong += [
                f"record: {each}" for each in self._compared(record, shown.json, plans.state(record.id, shown.json))
            ]
        self.note(operation, "a task that runs", f"record {plans.state(record.id, shown.json)}", wrong)
        await self.world.cancel(task_id)
        came, wrong = await self._end(operation, known, body, task_id, good=False)
        self.note(operation, "a task that is canceled", came, wrong)

    async def _directed(self, operation: Operation, known: Plan, directive: str) -> tuple[str | None, dict[str, Any]]:
        """A task of the first example that has the text, with a directive to the sandbox, and a receiver."""
        example = next((each for each in operation.examples.values() if _has(each, known.text)), None)
        assert example is not None, f"{operation.id} has no example with {known.text}"
        body = await self.world.filled(operation, known, example, "live")
        _write(body, known.text or "", f"[sandbox: {directive}] {_read(body, known.text or '')}")
        if operation.callback_field:
            body[operation.callback_field] = self.world.receiver()
        answer = await self.world.send(operation, body)
        if answer.code != 200:
            self.note(operation, f"a task with {directive}", _came(answer), [f"was refused: {_msg(answer)}"])
            return None, body
        return _task_id(answer), body

    async def _trouble_at_once(self, operation: Operation, known: Plan) -> None:
        """An operation that answers with its result answers with its failure, too."""
        example = deepcopy(next(iter(operation.examples.values())))
        for fault, meaning in FAULTS:
            body = await self.world.filled(operation, known, example, "live")
            _write(body, known.text or "", f"[sandbox: fail={fault}] {_read(body, known.text or '')}")
            answer = await self.world.send(operation, body)
            wrong = _judged(operation, answer, None)
            self.note(
                operation, meaning, _came(answer), wrong + (["is answered as a success"] if answer.code == 200 else [])
            )

    async def _without_files(self, operation: Operation, known: Plan) -> Any:
        """An example whose files are not where it says."""
        example = next(each for each in operation.examples.values() if _files_of(each))
        body = await self.world.filled(operation, known, example, "live")
        for place in _files_of(example):
            _write(body, place, self.world.file(_read(example, place), there=False))
        if operation.callback_field:
            body[operation.callback_field] = self.world.receiver()
        return body

    async def _gone(self, operation: Operation, known: Plan) -> None:
        """A file that is not where the caller said fails the task."""
        body = await self._without_files(operation, known)
        answer = await self.world.send(operation, body)
        if answer.code != 200:
            self.note(operation, "a file that is not there", _came(answer), _judged(operation, answer, None))
            return
        came, wrong = await self._end(operation, known, body, _task_id(answer), good=False)
        self.note(operation, "a file that is not there", f"{_came(answer)}; {came}", wrong)

    async def _prepare(self, served: Sequence[Operation]) -> None:
        """Have what the next part refers to before nothing begins any more."""
        room = asyncio.Semaphore(AT_ONCE)

        async def make(kind: str) -> None:
            async with room:
                with suppress(AssertionError, TimeoutError):  # who needs it will say so
                    await self.world.thing(kind, "held")

        ids = {operation.id for operation in served}
        kinds = {thing.rpartition(".")[0] for id_ in ids for thing in plan(id_).things.values()}
        await asyncio.gather(*map(make, sorted(kinds)))

    # While nothing begins

    async def _refusals(self, operation: Operation) -> None:
        for key, shown in ((None, "no key"), ("wrong", "a wrong key")):
            if operation.spec.get("security") == []:
                continue
            answer = await self.world.send(operation, await self._valid(operation), key=key)
            await self._refused(operation, shown, answer, {401})
        await self._elsewhere(operation)
        if operation.method == "get":
            await self._records(operation)
            return
        await self._fields(operation)
        if any(_place_of_id(name) for name in plan(operation.id).things):
            body = await self._valid(operation)
            for name in filter(_place_of_id, plan(operation.id).things):
                if name in body:
                    body[name] = UNKNOWN if not isinstance(body[name], list) else [UNKNOWN]
            answer = await self.world.send(operation, body)
            await self._refused(operation, "an unknown id", answer, {404, 422})
        answer = await self.world.ask("POST", operation.path.format(**plans.PATHS), data="{", headers=JSON)
        await self._refused(operation, "a body that is no JSON", answer, {400, 422})

    async def _elsewhere(self, operation: Operation) -> None:
        """A path and a method that are not there, where the document says what is answered then."""
        path = operation.path.format(**plans.PATHS)
        if "404" in operation.spec["responses"]:
            answer = await self.world.ask(operation.method.upper(), f"{path}/{NO_VALUE}")
            await self._refused(operation, "a longer path", answer, {404})
        if "405" in operation.spec["responses"]:
            await self._refused(operation, "another method", await self.world.ask("PUT", path), {405})

    async def _fields(self, operation: Operation) -> None:
        expected = {400} if operation.document == "image-common-file" and "file-" in operation.path else BAD_FIELD
        for name in operation.required:
            body = await self._valid(operation)
            if name in body:
                del body[name]
                await self._refused(operation, f"without `{name}`", await self.world.send(operation, body), expected)
        for name in operation.lists:
            body = {**await self._valid(operation), name: NO_VALUE}
            await self._refused(operation, f"a wrong `{name}`", await self.world.send(operation, body), expected)
        longest = {name: "x" * (length + 1) for name, length in plan(operation.id).longest.items()}
        for name, value in {**operation.bounds, **longest}.items():
            body = {**await self._valid(operation), name: value}
            also = {example["code"] for example in operation.told() if example.get("code") in {413, 500}}
            answer = await self.world.send(operation, body)
            await self._refused(operation, f"`{name}` beyond its bounds", answer, expected | also)

    async def _records(self, operation: Operation) -> None:
        for name in operation.query:
            answer = await self.world.send(operation, {})
            if answer.code != 200 or answer.data is not None:
                await self._refused(operation, f"without `{name}`", answer, {400, 404, 422})
            answer = await self.world.send(operation, {name: UNKNOWN})
            wrong = _judged(operation, answer, None)
            nothing = answer.code == 200 and answer.data is None  # of an unknown id some records say just that
            came = f"{_came(answer)}, data null" if nothing else _came(answer)
            found = answer.code == 200 and not nothing
            self.note(operation, "an unknown id", came, [*wrong, "is found"] if found else wrong, refusal=True)

    async def _refused(self, operation: Operation, sent: str, answer: Answer, expected: set[int]) -> None:
        wrong = _judged(operation, answer, None)
        if answer.code == 200:
            wrong.append("is accepted")
            await self._dismiss(answer)
        elif answer.code not in expected:
            wrong.append(f"answered {_came(answer)}: {_msg(answer)}")
        self.note(operation, sent, _came(answer), wrong, refusal=True)

    async def _dismiss(self, answer: Answer) -> None:
        """Let go of a task that was not to be accepted."""
        data = answer.json.get("data") if isinstance(answer.json, dict) else None
        if isinstance(data, dict) and ("taskId" in data or "task_id" in data):
            await self.world.cancel(_task_id(answer))

    async def _without_means(self, served: Sequence[Operation]) -> None:
        """No credits, a full window, a used-up key, a key for which no provider is there."""
        creating = [each for each in served if each.method == "post" and not plan(each.id).free]
        bodies = {each.id: await self._valid_or_none(each) for each in creating}
        creating = [each for each in creating if bodies[each.id] is not None]
        async with self.world.broke():
            for operation in creating:
                await self._means(operation, "no credits", bodies[operation.id], {402})
        async with self.world.busy():
            for operation in creating:
                await self._means(operation, "a full window", bodies[operation.id], {429})
        for operation in creating:
            await self._means(operation, "a used-up key", bodies[operation.id], {433}, key="capped")
            if not plan(operation.id).things and plan(operation.id).record:
                await self._means(operation, "no provider for a live key", bodies[operation.id], {505}, key="live")

    async def _means(
        self, operation: Operation, sent: str, body: Any, expected: set[int], *, key: str = "test"
    ) -> None:
        answer = await self.world.send(operation, body, key=key)
        await self._refused(operation, sent, answer, expected)

    async def _waiting(self, operation: Operation) -> None:
        """A task that nobody has begun, and that is canceled then."""
        known = plan(operation.id)
        if not known.record or operation.method == "get":
            return
        body = await self._valid(operation)
        if operation.callback_field:
            body[operation.callback_field] = self.world.receiver()
        answer = await self.world.send(operation, body)
        if answer.code != 200:
            self.note(operation, "a task that waits", _came(answer), [f"was refused: {_msg(answer)}"])
            return
        record, task_id = _operation(known.record), _task_id(answer)
        shown = await self.world.ask("GET", record.path, params={_parameter(record): task_id})
        wrong = [f"record: {each}" for each in _judged(record, shown, 200)]
        seen = plans.state(record.id, shown.json)
        # Which of the two it is depends on how quick a worker was.
        seen = "state wait or queueing" if seen in ("state wait", "state queueing") else seen
        self.note(operation, "a task that waits", f"record {seen}", wrong)
        await self.world.claimed(task_id)  # some records tell whether anybody had it
        await self.world.cancel(task_id)
        came, wrong = await self._end(operation, known, body, task_id, good=False)
        self.note(operation, "a waiting task that is canceled", came, wrong)

    async def _valid(self, operation: Operation) -> dict[str, Any]:
        if operation.method == "get":
            return {}
        example: Any = next(iter(operation.examples.values()), {})
        found: dict[str, Any] = await self.world.filled(operation, plan(operation.id), example, "held")
        return found

    async def _valid_or_none(self, operation: Operation) -> dict[str, Any] | None:
        try:
            return await self._valid(operation)
        except (AssertionError, TimeoutError):
            return None


BAD_FIELD = {400, 422}
JSON = {"Content-Type": "application/json"}

_OPERATIONS: dict[str, Operation] = {}


def _operation(id_: str) -> Operation:
    if not _OPERATIONS:
        _OPERATIONS.update({each.id: each for document in DOCUMENTS for each in operations(document)})
    return _OPERATIONS[id_]


def _parameter(record: Operation) -> str:
    return plans.QUERIES.get(record.id, plans.TASK_ID)


def _task_id(answer: Answer) -> str:
    data = answer.data
    return str(data.get("taskId") or data["task_id"])


def _judged(operation: Operation, answer: Answer, code: int | None) -> list[str]:
    """Where an answer is not in the form of the document; with ``code``, also where it is another one."""
    wrong = operation.problems(answer.status, answer.media_type, answer.body)
    if code is not None and answer.code not in {code, 201}:
        wrong.append(f"answered {_came(answer)}: {_msg(answer)}")
    return wrong


def _came(answer: Answer) -> str:
    """``200``, or ``429 (HTTP 429)`` where the status says something, too."""
    return str(answer.code) if answer.status == 200 else f"{answer.code} (HTTP {answer.status})"


def _msg(answer: Answer) -> str:
    said = answer.json
    return str(said.get("msg"))[:160] if isinstance(said, dict) else ""


def _reason(body: Any) -> str:
    data = body.get("data") if isinstance(body, dict) else None
    names = ("errorMessage", "failMsg", "msg")
    return next((str(data[name]) for name in names if isinstance(data, dict) and data.get(name)), "no reason")


def _against(examples: Iterator[Any], ours: Any, alike: Callable[[Any], bool]) -> list[str]:
    """Fields that the nearest of the fitting examples has, and ours has not."""
    found = [list(lacking(example, ours)) for example in examples if isinstance(example, dict) and alike(example)]
    return [f"`{place}` is shown in the document" for place in min(found, key=len, default=[])]


def _of_code_200(example: Any) -> bool:
    return bool(example.get("code", 200) == 200)


def _same_kind(said: Mapping[str, Any]) -> Callable[[Any], bool]:
    def kind(body: Mapping[str, Any]) -> Any:
        data = body.get("data")
        return data.get("callbackType") if isinstance(data, dict) else None

    return lambda example: bool(
        (example.get("code") == 200) is (said.get("code") == 200) and kind(example) == kind(said)
    )


def _signed(headers: Mapping[str, str], said: Mapping[str, Any], secret: str) -> bool:
    places = [place for place in (said, said.get("data")) if isinstance(place, dict)]
    ids = {place.get(name) for place in places for name in ("taskId", "task_id")} - {None}
    moment = int(headers["X-Webhook-Timestamp"])
    return any(sign.kie(secret, str(id_), moment) == headers["X-Webhook-Signature"] for id_ in ids)


def _links(value: Any, base: str) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _links(each, base)
    elif isinstance(value, list):
        for each in value:
            yield from _links(each, base)
    elif isinstance(value, str):
        if value.startswith("{"):  # a record within the record
            with suppress(ValueError):
                yield from _links(json.loads(value), base)
        elif value.startswith(f"{base}/files/"):
            yield value


def _files_of(body: Any, where: str = "") -> list[str]:
    """Where a body names files by their address, as dotted places."""
    if isinstance(body, dict):
        return [
            place
            for name, each in body.items()
            if name not in {"callBackUrl", "calBackUrl"}
            for place in _files_of(each, f"{where}.{name}".lstrip("."))
        ]
    if isinstance(body, list):
        return [place for index, each in enumerate(body) for place in _files_of(each, f"{where}.{index}")]
    return [where] if isinstance(body, str) and re.match(r"https?://", body) else []


def _steps(place: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in place.split(".")]


def _read(body: Any, place: str) -> Any:
    for step in _steps(place):
        body = body[step]
    return body


def _write(body: Any, place: str, value: Any) -> None:
    *way, last = _steps(place)
    for step in way:
        body = body[step]
    body[last] = value


def _has(body: Any, place: str | None) -> bool:
    try:
        return bool(place) and bool(_read(body, place or ""))
    except (KeyError, IndexError, TypeError):
        return False


def _place_of_id(name: str) -> bool:
    return not name.lower().endswith("url")


_VARYING = (
    (re.compile(r"http://127\.0\.0\.1:\d+[^\s\"']*"), "URL"),
    (re.compile(r"http://[\w.]+:\d+[^\s\"']*"), "URL"),
    (re.compile(r"\b[0-9a-f]{20,}[-_0-9a-f]*\b"), "ID"),
    (re.compile(r"\b\d{13}\b"), "TIME"),
)


def _still(text: str) -> str:
    """A complaint without what is another at every run."""
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    return text if len(text) <= 300 else f"{text[:200]} ... {text[-80:]}"
