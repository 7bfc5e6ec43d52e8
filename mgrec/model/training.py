"""The training loop: deterministic batches, selection on validation, exact resumption."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mgrec.configs import TrainingConfig
from mgrec.interrupts import raise_if_interrupted
from mgrec.model.checkpoint import Checkpoint, flatten, unflatten
from mgrec.model.device import where
from mgrec.progress import Bar, bar, say

Evaluate = Callable[[], Mapping[str, float]]
SELECT = "NDCG@10"
TIMED_STEPS = 4  # of `time_steps`


class Task(Protocol):
    """What is trained: its parameters, its batches and their loss."""

    name: str

    @property
    def module(self) -> nn.Module: ...

    def batches(self, epoch: int) -> Sequence[Tensor]:
        """Return an epoch's batches, the same whenever it is asked for the same epoch."""
        ...

    def loss(self, batch: Tensor) -> Tensor:
        """Return a scalar."""
        ...


@dataclass
class Progress:
    """Where a training stands; everything that a resumed one needs beside the weights."""

    epoch: int = 0
    batch: int = 0  # batches of the epoch already done
    step: int = 0
    seconds: float = 0.0
    loss: float = 0.0  # summed over the epoch so far
    best: float = float("-inf")
    stale: int = 0  # evaluations since the best one
    finished: bool = False
    curve: list[dict[str, float]] = field(default_factory=list)  # one entry an epoch


def precision(wanted: str, device: torch.device) -> torch.dtype:
    """Return the type that matrices are multiplied in: bfloat16 where the machine is fast at it."""
    if wanted != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[wanted]
    if device.type == "cuda":
        with torch.cuda.device(device):  # it answers for the present one
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type != "cpu":
        fast = False
    else:
        fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast else torch.float32


def stated(dtype: torch.dtype, device: torch.device) -> str:
    """Describe the precision of matrix products, and the hardware support for it."""
    name = str(dtype).removeprefix("torch.")
    if device.type == "cuda":
        return f"{name} on {torch.cuda.get_device_name(device)}"
    if device.type != "cpu":
        return f"{name} on {device}"
    if torch.cpu._is_amx_tile_supported():
        return f"{name} (AMX)"
    if torch.cpu._is_avx512_bf16_supported():
        return f"{name} (AVX512-BF16)"
    return f"{name} (no hardware support for bfloat16)"


def train(
    task: Task,
    config: TrainingConfig,
    *,
    epochs: int,
    seed: int,
    evaluate: Evaluate | None = None,
    checkpoint: Checkpoint | None = None,
    planned: int | None = None,
) -> Progress:
    """Train a task's module in place and leave it with its best weights.

    Every step seeds its own noise from `seed` and its number, so that a run killed at any moment
    and resumed from its checkpoint ends with exactly the weights of an uninterrupted one (on one
    thread of a CPU; and unless ``config.minutes`` ends it, since time is not repeatable).

    Parameters
    ----------
    epochs : the most epochs
    planned : epochs that the learning rate's course is made for, if it is not to be these
    evaluate : returns metrics of the module as it is; NDCG@10 selects the weights that are kept.
        None trains all epochs and keeps the last weights.
    checkpoint : where to resume from and to save to

    Returns
    -------
    Progress
        With the curve, one entry an epoch.
    """
    loop = _Loop(task, config, epochs, planned or epochs, seed, evaluate, checkpoint)
    loop.resume()
    say(f"{task.name}: matrices in {stated(loop.dtype, loop.device)}")
    with _threads(config.threads), bar(task.name, epochs, "epochs") as shown:
        shown.advance(loop.at.epoch)
        while not loop.at.finished and loop.at.epoch < epochs:
            loop.epoch(shown)
            shown.advance()
    loop.finish()
    return loop.at


def time_steps(task: Task, config: TrainingConfig) -> tuple[int, float]:
    """Return the steps of an epoch and the seconds of one, measured on a few batches.

    The batches are spread over all sizes. The task's module is trained by these steps.
    """
    batches = sorted(task.batches(0), key=lambda batch: batch.numel())
    if not batches:
        return 0, 0.0
    loop = _Loop(task, config, 1, 1, 0, None, None)
    task.module.train()
    groups = min(TIMED_STEPS, len(batches))
    middles = [int((group + 0.5) * len(batches) / groups) for group in range(groups)]
    with _threads(config.threads):
        loop.step(batches[-1], 0.0)  # the first step allocates memory
        begun = time.monotonic()
        for place in middles:
            loop.step(batches[place], 0.0)
        return len(batches), (time.monotonic() - begun) / groups


@contextmanager
def _threads(wanted: int) -> Iterator[None]:
    """Train on so many threads: small models only lose by sharing their steps between cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Loop:
    """The state of one training, advanced an epoch at a time."""

    def __init__(
        self,
        task: Task,
        config: TrainingConfig,
        epochs: int,
        planned: int,
        seed: int,
        evaluate: Evaluate | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.task, self.config, self.seed = task, config, seed
        self.epochs, self.planned = epochs, planned
        self.evaluate, self.checkpoint = evaluate, checkpoint
        self.module = task.module
        self.device = where(self.module)
        self.dtype = precision(config.precision, self.device)
        self.at = Progress()
        self.best: dict[str, Tensor] = {}
        self.saved = time.monotonic()
        self.optimizer = torch.optim.AdamW(
            _groups(self.module, config.weight_decay),
            lr=config.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )

    def resume(self) -> None:
        """Load the checkpoint, if there is one."""
        found = self.checkpoint.load() if self.checkpoint else None
        if found is None:
            return
        state = unflatten(*found)
        self.at = Progress(**state["progress"])
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
        if not self.at.finished:
            say(f"{self.task.name}: resumed at epoch {self.at.epoch}, step {self.at.step}")

    def save(self) -> None:
        """Write the checkpoint."""
        if self.checkpoint is None:
            return
        state = {
            "progress": vars(self.at),
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
        }
        self.checkpoint.save(*flatten(state))
        self.saved = time.monotonic()

    def epoch(self, shown: Bar) -> None:
        """Run what is left of an epoch, then evaluate and save."""
        at, begun = self.at, time.monotonic()
        batches = self.task.batches(at.epoch)
        self.module.train()
        while at.batch < len(batches):
            raise_if_interrupted()
            done = max((at.epoch + at.batch / len(batches)) / self.planned, self._spent(begun))
            at.loss += self.step(batches[at.batch], done)
            at.batch += 1
            if self._late(begun):
                break
            if at.batch % 10 == 0:
                shown.note(f"loss {at.loss / at.batch:.3f}")
            due = time.monotonic() - self.saved > self.config.checkpoint_seconds
            if due and at.batch < len(batches):
                at.seconds, begun = at.seconds + time.monotonic() - begun, time.monotonic()
                self.save()
        at.finished = self._late(begun) or at.epoch + 1 >= self.epochs
        done = at.batch / max(len(batches), 1)  # less than 1 where the time ended it
        entry = {"epoch": at.epoch + done, "loss": at.loss / max(at.batch, 1)}
        at.epoch, at.batch, at.loss = at.epoch + 1, 0, 0.0
        at.seconds += time.monotonic() - begun
        self._select(entry)
        at.curve.append(entry | {"seconds": at.seconds})
        if at.finished or time.monotonic() - self.saved > self.config.checkpoint_seconds:
            self.save()

    def _late(self, begun: float) -> bool:
        """Whether the time that the recipe gives is over, also in the midst of an epoch."""
        return self._spent(begun) > 1

    def _spent(self, begun: float) -> float:
        """Return the part of the recipe's time that is over; 0 where it gives none."""
        if self.config.minutes is None:
            return 0.0
        return (self.at.seconds + time.monotonic() - begun) / (self.config.minutes * 60)

    def step(self, batch: Tensor, done: float) -> float:
        """Take one step of the optimiser, with a part of the training done; returns the loss."""
        at, config = self.at, self.config
        at.step += 1
        rate = config.learning_rate * min(1.0, at.step / max(1, config.warmup))
        if config.cooldown:
            rate *= min(1.0, max(0.0, 1 - done) / config.cooldown)
        torch.manual_seed((self.seed * 1_000_003 + at.step) % 2**63)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        enabled = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype, enabled=enabled):
            loss = self.task.loss(batch.to(self.device))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), self.config.clip)
        self.optimizer.step()
        return loss.item()

    def _select(self, entry: dict[str, float]) -> None:
        """Evaluate if it is time; keep the best weights; stop when they are too old."""
        at = self.at
        due = at.finished or at.epoch % self.config.evaluate_every == 0
        if self.evaluate is None or not due:
            return
        self.module.eval()
        entry.update(self.evaluate())
        found = entry[SELECT]
        if found > at.best:
            at.best, at.stale = found, 0
            self.best = {k: v.clone() for k, v in self.module.state_dict().items()}
        else:
            at.stale += 1
            cooling = at.epoch / self.planned >= 1 - self.config.cooldown
            at.finished |= at.stale >= self.config.patience and (
                cooling or not self.config.cooldown
            )
        say(
            f"{self.task.name}: epoch {at.epoch}, loss {entry['loss']:.3f}, "
            f"validation {SELECT} {found:.4f}{' (best)' if at.stale == 0 else ''}, "
            f"{at.seconds:.0f} s"
        )

    def finish(self) -> None:
        """Put the best weights into the module."""
        self.save()
        if self.best:
            self.module.load_state_dict(self.best)
        self.module.eval()


def _groups(module: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Split parameters: matrices decay, vectors (norms, temperatures) do not."""
    named = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in named if p.dim() >= 2], "weight_decay": decay},
        {"params": [p for p in named if p.dim() < 2], "weight_decay": 0.0},
    ]
