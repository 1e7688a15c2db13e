"""The course's library: how a program that predicts the next word becomes an assistant.

Read the modules from the bottom up: `runtime`, `tokenizer`, `attention`, `transformer`, `optimizer`, `train`,
`generate`, `sft`, `reward`, `rl`; the world that the models speak of is in `world`.
Importing `course` alone loads nothing heavy.
"""

__version__ = "0.1.0"
