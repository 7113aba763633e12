"""One process, or several that ``torchrun`` started: the same loop serves both."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Team:
    """This process is ``rank`` of ``ranks``; tensors live on ``device``."""

    rank: int
    ranks: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """True in the one process that prints and writes."""
        return self.rank == 0

    def share(self, net: nn.Module) -> nn.Module:
        """``net`` with gradients that are means over all processes."""
        if self.ranks == 1:
            return net
        return DistributedDataParallel(net, broadcast_buffers=False)

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes."""
        if self.ranks > 1:
            dist.all_reduce(value)
        return value / self.ranks

    def any(self, flag: bool) -> bool:
        """True everywhere if it is true somewhere."""
        return bool(self.mean(torch.tensor(float(flag), device=self.device)) > 0)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.ranks > 1:
            dist.barrier()

    def part(self) -> None:
        """Leave, all at once: a process that ends while others still talk to it may be aborted.

        Nothing can be shared any more, and what ``share`` gave is of no use.
        """
        if self.ranks > 1:
            gc.collect()  # wrappers of networks hold on to the group
            dist.barrier()
            dist.destroy_process_group()


def gather(threads: int = 1) -> Team:
    """The team of this process, from the environment that ``torchrun`` sets.

    A process without a GPU computes on ``threads`` threads of the CPU.
    """
    ranks, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", local) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    else:
        torch.set_num_threads(threads)
    if ranks > 1:
        dist.init_process_group("nccl" if gpu else "gloo")
    return Team(dist.get_rank() if ranks > 1 else 0, ranks, device)
