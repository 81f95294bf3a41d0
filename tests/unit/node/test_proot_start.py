"""The filter that keeps newer system calls from reaching the host through proot."""

import struct

from devcluster.node.proot_start import program


def test_each_call_jumps_to_the_refusal_and_others_to_the_permission() -> None:
    """The last instruction is ENOSYS, the one before it allows."""
    code = list(struct.iter_unpack("=HBBI", program([10, 20])))
    assert code[0] == (0x20, 0, 0, 0)
    for position in (1, 2):
        _, jump, _, _ = code[position]
        assert position + 1 + jump == len(code) - 1
    assert code[-2][3] == 0x7FFF0000
    assert code[-1][3] == 0x00050000 | 38
