"""Histories as files: taken from a log, decided again without one, put on another one."""
