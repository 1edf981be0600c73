"""Starts ranks as torchrun does, but out of one process that has imported everything already.

Reads a JSON line {"commands": [arguments of each rank], "folder": where their output goes}, and writes one with their
process ids, and one with their exit codes.
"""

from __future__ import annotations

import json
import os
import socket
import sys

import torch
import torch._dynamo

from DALESegmentLib.engine.cli import main
from DALESegmentLib.engine.commands import plan, train  # noqa: F401  (commands, as dynamo, are imported late)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(rank: int, commands: list[list[str]], folder: str, port: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    size = str(len(commands))
    if len(commands) > 1:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for number, name in ((1, "out"), (2, "errors")):
        os.dup2(os.open(f"{folder}/{name}{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["dalesegment", *commands[rank]]
    torch.set_num_threads(1)
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


for line in sys.stdin:
    wanted = json.loads(line)
    port = free_port()
    pids = [start(rank, wanted["commands"], wanted["folder"], port) for rank in range(len(wanted["commands"]))]
    print(json.dumps(pids), flush=True)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]), flush=True)
