"""The peer of two benchmarks: transformers' GPT-2 in the course's shape."""

from __future__ import annotations

from transformers import GPT2Config, GPT2LMHeadModel

from course.transformer import GPTConfig


def gpt2(config: GPTConfig, dropout: float = 0.0) -> GPT2LMHeadModel:
    """A GPT-2 with random weights, as large as `GPT(config)`, which has no dropout; theirs has 0.1 by default."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context_length,
            n_embd=config.d_model,
            n_layer=config.n_layer,
            n_head=config.n_head,
            resid_pdrop=dropout,
            embd_pdrop=dropout,
            attn_pdrop=dropout,
            bos_token_id=0,
            eos_token_id=None,
        )
    )
