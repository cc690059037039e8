"""Runs as they stand: found, looked at, listed page by page, and followed to their end. Nothing here changes one."""
