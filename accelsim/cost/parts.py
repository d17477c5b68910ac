"""What energy and FPGA primitives are spent on."""

from typing import Literal

Part = Literal[
    "mac",
    "add",
    "multiply",
    "weight_read",
    "weight_write",
    "buffer_read",
    "buffer_write",
    "sum_read",
    "sum_write",
    "memory_read",
    "memory_write",
    "leakage",
]

ResourcePart = Literal["multipliers", "weights", "thresholds", "arithmetic", "buffer"]
