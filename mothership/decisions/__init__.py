"""The rules of runs and attempts: pure functions from data to data, without clock, storage or network.

`states` has the words and records, `attempts` the transitions of a started or starting attempt, `claims` the start
claim and the lease, `timers` what happens when nothing is heard, `inventory` the comparison with what an operator
says it holds, `schedule` who gets which run, `backoff` when a message is repeated.
"""
