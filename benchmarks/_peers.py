"""The peer of two benchmarks: transformers' GPT-2 in the course's shape."""

from __future__ import annotations

from transformers import GPT2Config, GPT2LMHeadModel

from course.transformer import GPTConfig


def gpt2(config: GPTConfig) -> GPT2LMHeadModel:
    """A GPT-2 with random weights and without dropout, as large as `GPT(config)`."""
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.context_length,
            n_embd=config.d_model,
            n_layer=config.n_layer,
            n_head=config.n_head,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=None,
        )
    )
