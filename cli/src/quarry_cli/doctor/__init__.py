"""`quarry doctor`: read-only checks of an environment in AWS, each with its fix.

Theory of operation. A `Environment` is one environment and a way to ask AWS about it. A `Check` is one question: a
function that asks what it needs and judges it, giving what is healthy in words or the faults, each with the very thing to
add. What it may not read, it does not know: that is never a fault. `checkup.check` makes all checks at once; two
that ask the same cost one request, and all together cost at most `environment.REQUESTS_MAX`. Nothing here writes.

One file for each subject; `CHECKS` in `checkup.py` is the list, and `docs/doctor.md` is generated from it.
"""
