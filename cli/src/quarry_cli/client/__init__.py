"""The Python API, and what the commands call: a group for each thing that people do, and one facade over them, `api.py`.

Groups stand on `results` and `runs`, and on no other group; beside them lies what all of them need: the connections of
one command, who calls, a folder on this machine, and where a call works. A new call goes into the group of what it does.
"""
