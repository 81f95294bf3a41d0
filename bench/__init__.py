"""First figures: what the product costs, measured on a local cluster whose run Pods are only created.

`python -m bench` prints a table and writes ``bench/results.json``. Set METACONTROLLER_BIN to measure with a real
Metacontroller; the stand-in is made for fidelity, not for speed.
"""
