"""What the providers remember: files, batches, purchases. It outlives every client, and with a file also the server."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from runner.simulator import batch_jobs
from runner.simulator.plan import struck
from runner.simulator.values import Refused, StoredFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from runner.simulator.batch_jobs import BatchJob, BatchLine, ClosedJob, Phase
    from runner.simulator.chat.answers import Ask
    from runner.simulator.plan import FaultPlan
    from runner.simulator.storage import Memory

    Writer = Callable[["World", ClosedJob], tuple[str, str, bytes]]
    """A result line: its file (`output`, `error`), the kind of end it tells (succeeded, errored, ...), its bytes."""

NO_FILE = "none"
"""The file of items that leave no trace in the results."""
SETTLED_AT_ONCE = 500
"""Batches of so many items have their results the moment they end, larger ones a little later."""


@dataclass(frozen=True, slots=True)
class Count:
    """What was asked of the providers so far."""

    requests: Mapping[str, Mapping[str, int]]
    """Provider -> endpoint -> requests, refused ones included."""
    peak: int
    """Most requests that were open at once."""
    replies: int
    """Live replies that were given, and so paid."""
    batches: Mapping[str, int]
    """Provider -> batches accepted."""
    items: Mapping[str, Mapping[str, int]]
    """custom_id -> how often it was `accepted` and how often `billed`."""
    bodies: Mapping[str, int]
    """Digest of a request's body (the same live and in a batch) -> how often a reply to it was billed."""

    @property
    def bought_again(self) -> int:
        """Replies billed beyond the first for each body."""
        return sum(times - 1 for times in self.bodies.values())


@dataclass(slots=True)
class World:
    """One set of providers. Every method runs on the server's loop; none waits."""

    plan: FaultPlan
    writers: Mapping[str, Writer]
    memory: Memory
    clock: Callable[[], float] = time.time
    files: dict[str, StoredFile] = field(default_factory=dict)
    jobs: dict[str, BatchJob] = field(default_factory=dict)
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    bought: Counter[str] = field(default_factory=Counter)
    """Live purchases by digest of the body."""
    asked: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    turns: Counter[str] = field(default_factory=Counter)
    peak: int = 0

    def restore(self) -> None:
        """Take up what the memory holds."""
        self.files.update((file.id, file) for file in self.memory.files())
        self.jobs.update((job.id, job) for job in self.memory.jobs())

    # ---- counting

    def nth(self, ask: Ask) -> int:
        """How often this has been asked, this time included."""
        self.asked[ask.identity] += 1
        return self.asked[ask.identity]

    def turn(self, name: str) -> int:
        """The number of this event among those of its name, from 1."""
        self.turns[name] += 1
        return self.turns[name]

    def strikes(self, name: str, share: float) -> bool:
        """Whether the plan's share strikes the next event of this name."""
        return share > 0 and struck(share, self.turn(name))

    def new_id(self, prefix: str, api: str) -> str:
        """An id as providers make them; it says nothing, and no two are the same. The prefix # asks for digits only."""
        number = len(self.jobs) + len(self.files) + self.turn("id")
        name = blake2b(f"{api} {number} {self.clock()}".encode(), digest_size=12).hexdigest()
        return str(int(name[:14], 16) + 10**17) if prefix == "#" else prefix + name

    def count(self) -> Count:
        """What happened so far; items as of now."""
        requests: dict[str, dict[str, int]] = {}
        for (provider, endpoint), times in self.requests.items():
            requests.setdefault(provider, {})[endpoint] = times
        items: dict[str, dict[str, int]] = {}
        bodies = Counter(self.bought)
        for job in self.jobs.values():
            finished = batch_jobs.done(job, self.plan, self.clock())
            for index, item in enumerate(job.items):
                entry = items.setdefault(item.id, {"accepted": 0, "billed": 0})
                billed = int(index < finished and batch_jobs.end_of(job, self.plan, index) == "done")
                entry["accepted"] += 1
                entry["billed"] += billed
                if billed:
                    bodies[digest(item.body)] += 1
        batches = Counter(job.api for job in self.jobs.values())
        return Count(requests, self.peak, self.bought.total(), dict(batches), items, dict(bodies))

    # ---- files

    def add_file(self, file: StoredFile) -> StoredFile:
        """Remember a file."""
        self.files[file.id] = file
        if file.job is None:
            self.memory.keep_file(file)
        return file

    def file(self, api: str, account: str, file_id: str) -> StoredFile:
        """A file of this account; Refused (not_found) for any other."""
        for job in self.jobs.values():
            if job.id in file_id:
                self.observe(job)
        found = self.files.get(file_id)
        if found is None or (found.api, found.account) != (api, account):
            raise Refused("not_found", f"No such File object: {file_id}", param="id")
        return found

    def content(self, file: StoredFile) -> bytes:
        """A file's bytes."""
        return file.data if file.job is None else b"".join(self.delivered(self.jobs[file.job], file.part))

    def remove_file(self, file: StoredFile) -> None:
        """Forget a file."""
        del self.files[file.id]
        if file.job is None:
            self.memory.drop_file(file.id)
        else:
            self.jobs[file.job].removed.add(file.id)
            self.memory.update_job(self.jobs[file.job])

    # ---- batches

    def add_job(
        self,
        api: str,
        account: str,
        items: list[BatchLine],
        *,
        prefix: str,
        window_h: float,
        facts: dict[str, Any],
        errors: list[Any] | None = None,
        fails: bool = True,
    ) -> BatchJob:
        """Accept a batch. Where an API knows no failed ones (`fails`), the plan's `fail` does as its `stall`."""
        number = sum(job.api == api for job in self.jobs.values()) + 1
        fate = batch_jobs.fate_of(self.plan, number)
        job = batch_jobs.BatchJob(
            id=self.new_id(prefix, api),
            api=api,
            account=account,
            number=number,
            first=sum(len(job.items) for job in self.jobs.values()),
            created=self.clock(),
            window_h=window_h,
            fate="stall" if fate == "fail" and not fails else fate,
            items=items,
            facts=facts,
            errors=errors or [],
        )
        self.jobs[job.id] = job
        self.memory.keep_job(job)
        return job

    def job(self, api: str, account: str, job_id: str, message: str = "No batch found with id '{}'.") -> BatchJob:
        """A batch of this account; Refused (not_found) for any other."""
        found = self.jobs.get(job_id)
        if found is None or found.deleted or (found.api, found.account) != (api, account):
            raise Refused("not_found", message.format(job_id))
        return found

    def listed(self, api: str, account: str) -> list[BatchJob]:
        """The batches that a list shows, newest first."""
        seen = self.clock() - self.plan.list_delay_s
        mine = [job for job in self.jobs.values() if (job.api, job.account, job.deleted) == (api, account, False)]
        return [job for job in reversed(mine) if job.created <= seen]

    def extend(self, job: BatchJob, items: list[BatchLine]) -> None:
        """Add items to a batch, which begins anew (xAI)."""
        job.items += items
        job.begun = self.clock()
        self.memory.keep_job(job)

    def cancel(self, job: BatchJob) -> None:
        """Begin to cancel a batch that is still at work."""
        if job.cancel_at is None and self.observe(job) in ("validating", "running"):
            job.cancel_at = self.clock()
            self.memory.update_job(job)

    def delete(self, job: BatchJob) -> None:
        """Forget a batch, but not that it was billed."""
        job.deleted = True
        self.memory.update_job(job)

    def waiting_tokens(self, api: str, account: str) -> int:
        """Tokens that the account's unfinished batches hold."""
        mine = [job for job in self.jobs.values() if (job.api, job.account) == (api, account)]
        return sum(job.facts.get("tokens", 0) for job in mine if self.observe(job) not in batch_jobs.ENDED)

    def observe(self, job: BatchJob) -> Phase:
        """Where a batch stands. One that has ended has its results; until they are written it seems to finish."""
        phase = batch_jobs.phase(job, self.plan, self.clock())
        if phase not in batch_jobs.ENDED or phase == "failed" or job.settled == len(job.items):
            return phase
        if len(job.items) <= SETTLED_AT_ONCE:
            self.settle(job, len(job.items))
            return phase
        return "cancelling" if phase == "cancelled" else "finalizing"

    def due(self) -> Iterable[BatchJob]:
        """Large batches that have ended but lack results."""
        now = self.clock()
        ripe = (job for job in self.jobs.values() if job.settled < len(job.items))
        return [job for job in ripe if batch_jobs.phase(job, self.plan, now) in ("completed", "expired", "cancelled")]

    def settle(self, job: BatchJob, upto: int) -> None:
        """Write the result lines of the items before this index."""
        for index in range(job.settled, upto):
            closed = batch_jobs.ClosedJob(job, index, batch_jobs.end_of(job, self.plan, index))
            part, end, line = self.writers[job.api](self, closed)
            job.lines.setdefault(part, []).append((index, line))
            job.tally[end] = job.tally.get(end, 0) + 1
        job.settled = max(job.settled, upto)
        if job.settled == len(job.items) and batch_jobs.phase(job, self.plan, self.clock()) in batch_jobs.ENDED:
            self._file_results(job)

    def _file_results(self, job: BatchJob) -> None:
        for part in job.lines.keys() - {NO_FILE}:
            file_id = result_file(job, part)
            if file_id not in job.removed and file_id not in self.files:
                made = batch_jobs.ended(job, self.plan)
                name = f"{job.id}_{part}.jsonl"
                place = job.facts.get("place", {"api": job.api, "account": job.account})
                owner = (place["api"], place["account"])
                self.add_file(StoredFile(file_id, *owner, name, "batch_output", made, job=job.id, part=part))

    def delivered(self, job: BatchJob, part: str) -> list[bytes]:
        """Result lines as a client gets them: shuffled, and with the plan's faults."""
        lines: list[bytes] = []
        for index, line in job.lines.get(part, ()):
            match batch_jobs.line_fault(job, self.plan, index):
                case "omit":
                    continue
                case "corrupt":
                    lines.append(line[: len(line) // 2] + b"\n")
                case "duplicate":
                    lines += (line, line)
                case _:
                    lines.append(line)
        if self.plan.shuffle and batch_jobs.phase(job, self.plan, self.clock()) in batch_jobs.ENDED:
            random.Random(f"{self.plan.seed} {job.first} {part}").shuffle(lines)  # noqa: S311  no secret depends on it
        return lines


def result_file(job: BatchJob, part: str) -> str:
    """Id of a batch's result file: its address where the batch was told one."""
    told: str | None = job.facts.get("place", {}).get(part)
    return told or f"file-{part}-{job.id}"


def digest(body: bytes | Mapping[str, Any]) -> str:
    """A short name for a request's body, equal for equal JSON."""
    value = json.loads(body) if isinstance(body, bytes) else body
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=12).hexdigest()
