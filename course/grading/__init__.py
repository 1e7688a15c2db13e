"""Grading: judging other people's answers, out of process, in a sandbox, without ever running their notebooks."""
