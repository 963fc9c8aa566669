"""What a job may ask of a worker's device, and what workers offer."""

from __future__ import annotations

from dataclasses import dataclass

BYTES_PER_GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a job asks of a worker's device: a class by its name, "" for any, and whole GiB of memory, 0 for any."""

    device_class: str = ""
    memory_gib: int = 0

    @classmethod
    def of_text(cls, text: str) -> Need:
        """What `str` made of one."""
        device_class, _, memory_gib = text.rpartition("/")
        return cls(device_class=device_class, memory_gib=int(memory_gib)) if text else ANY_DEVICE

    def __str__(self) -> str:
        """`CLASS/GIB`, as the store writes it; empty where nothing is asked."""
        return "" if self == ANY_DEVICE else f"{self.device_class}/{self.memory_gib}"


ANY_DEVICE = Need()


@dataclass(frozen=True, kw_only=True)
class Offer:
    """How many live workers of a lane have such a device."""

    lane: str
    device_class: str
    memory_gib: int
    workers: int
