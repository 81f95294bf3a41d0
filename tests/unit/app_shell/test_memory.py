"""The allocator and the collector are set up for large request bodies."""

import subprocess
import sys

PROBE = """
import gc, resource, threading
from app import memory
assert memory.bound_allocator()
memory.relax_collector()
assert gc.get_threshold()[0] == memory.COLLECT_AFTER
def use():
    for _ in range(4):
        block = bytearray(4 * 1024 * 1024)
        del block
threads = [threading.Thread(target=use) for _ in range(32)]
[t.start() for t in threads]
[t.join() for t in threads]
pages = int(open("/proc/self/statm").read().split()[1])
print(pages * resource.getpagesize() // 2**20)
"""


def test_large_blocks_of_many_threads_go_back_to_the_system() -> None:
    """Thirty-two threads that each used 4 MiB leave a process that is as small as before."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(done.stdout) < 40
