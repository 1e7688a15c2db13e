"""The course's library: how a program that predicts the next word becomes an assistant.

Read the modules from the bottom up: `runtime`, `atlas`, `tokenizer`, `attention`, `transformer`, `train`,
`generate`, `sft`, `reward`, `rl`. Importing `course` alone loads nothing heavy.
"""

__version__ = "0.1.0"
