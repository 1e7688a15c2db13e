"""Answers to the exercises of notebook 05, as learners write them: right ones, and typical wrong ones.

RIGHT: id -> sources, each by another way. WRONG: id -> (source, part of the sentence that it must be told).
"""

RIGHT = {
    "05-with-temperature": [
        """
def with_temperature(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    return F.softmax(logits / temperature, dim=0)
""",
        """
def with_temperature(logits, temperature):
    best = max(logits.tolist())
    if temperature == 0:
        return torch.tensor([1.0 if x == best else 0.0 for x in logits.tolist()])
    powers = [math.exp((x - best) / temperature) for x in logits.tolist()]
    return torch.tensor([power / sum(powers) for power in powers])
""",
        """
def with_temperature(logits, temperature):
    return torch.softmax(logits.double() / max(temperature, 1e-6), -1)
""",
    ],
    "05-keep-top-k": [
        """
def keep_top_k(logits, k):
    values, places = torch.topk(logits, min(k, logits.numel()))
    probs = torch.zeros_like(logits)
    probs[places] = F.softmax(values, dim=0)
    return probs
""",
        """
def keep_top_k(logits, k):
    numbers = logits.tolist()
    kept = sorted(range(len(numbers)), key=lambda i: -numbers[i])[:k]
    powers = [math.exp(x) if i in kept else 0.0 for i, x in enumerate(numbers)]
    return torch.tensor(powers) / sum(powers)
""",
        """
def keep_top_k(logits, k):
    probs = logits.softmax(0)
    for i in range(len(probs)):
        if (logits > logits[i]).sum() >= k:
            probs[i] = 0
    return F.normalize(probs, p=1, dim=0)
""",
    ],
    "05-keep-top-p": [
        """
def keep_top_p(probs, p):
    kept, total = [], 0.0
    for i in probs.argsort(descending=True).tolist():
        kept.append(i)
        total += probs[i].item()
        if total >= p:
            break
    result = torch.zeros(len(probs))
    for i in kept:
        result[i] = probs[i] / total
    return result
""",
        """
def keep_top_p(probs, p):
    likelier = probs[None, :] > probs[:, None]
    held = (likelier * probs).sum(dim=1)
    return F.normalize(probs.where(held < p, 0.0), p=1, dim=0)
""",
        """
def keep_top_p(probs, p):
    ranked, order = torch.sort(probs, descending=True)
    count = torch.searchsorted(ranked.cumsum(0), p).item() + 1
    border = ranked[count - 1]
    kept = probs * (probs >= border)
    return kept / kept.sum()
""",
    ],
    "05-draw": [
        """
def draw(probs, u):
    total = 0.0
    for i, prob in enumerate(probs.tolist()):
        total += prob
        if u < total:
            return i
    return len(probs) - 1
""",
        """
def draw(probs, u):
    return torch.searchsorted(probs.cumsum(0), u, right=True).item()
""",
        """
def draw(probs, u):
    from bisect import bisect_right
    from itertools import accumulate

    return bisect_right(list(accumulate(probs.tolist())), u)
""",
    ],
    "05-cached-attention": [
        """
def cached_attention(q, k, v, k_cache, v_cache):
    keys, values = torch.cat((k_cache, k)), torch.cat((v_cache, v))
    output = F.scaled_dot_product_attention(q[None], keys[None], values[None])[0]
    return [output, keys, values]
""",
        """
def cached_attention(q, k, v, k_cache, v_cache):
    S, d = k_cache.shape
    keys, values = torch.zeros(S + 1, d), torch.zeros(S + 1, d)
    keys[:S], keys[S] = k_cache, k[0]
    values[:S], values[S] = v_cache, v[0]
    scores = [float(q[0].dot(key)) / d**0.5 for key in keys]
    powers = [math.exp(score - max(scores)) for score in scores]
    output = sum(power / sum(powers) * value for power, value in zip(powers, values))
    return output[None], keys, values
""",
    ],
    "05-unequal-prompts": [
        """
def padded_prompts(prompts):
    longest = max(len(prompt) for prompt in prompts)
    padding = torch.tensor([longest - len(prompt) for prompt in prompts])
    tokens = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    place = torch.arange(longest)
    positions = (place - padding[:, None]).clamp(min=0)
    real = place >= padding[:, None]
    causal = place[:, None] >= place
    mask = causal & real[:, None, :] | torch.eye(longest, dtype=torch.bool)
    return [tokens, positions, mask]
""",
        """
def padded_prompts(prompts):
    T = max(map(len, prompts))
    tokens = torch.zeros(len(prompts), T, dtype=torch.long)
    positions = torch.zeros(len(prompts), T, dtype=torch.long)
    mask = torch.zeros(len(prompts), T, T, dtype=torch.bool)
    for b, prompt in enumerate(prompts):
        first = T - len(prompt)
        for t in range(T):
            mask[b, t, t] = True
            if t >= first:
                tokens[b, t] = prompt[t - first]
                positions[b, t] = t - first
                mask[b, t, first : t + 1] = True
    return tokens, positions, mask
""",
    ],
}

PADDED = """
def padded_prompts(prompts):
    longest = max(len(prompt) for prompt in prompts)
    padding = torch.tensor([longest - len(prompt) for prompt in prompts])
    tokens = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    place = torch.arange(longest)
    positions = POSITIONS
    real = place >= padding[:, None]
    causal = place[:, None] >= place
    mask = MASK
    return [tokens, positions, mask]
"""
POSITIONS = "torch.relu(place - padding[:, None])"
MASK = "causal & real[:, None, :] | torch.eye(longest, dtype=torch.bool)"


def padded(positions: str = POSITIONS, mask: str = MASK) -> str:
    """The planted code with other positions or another mask."""
    return PADDED.replace("POSITIONS", positions).replace("MASK", mask)


WRONG = {
    "05-with-temperature": [
        (
            """
def with_temperature(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    return torch.softmax(logits * temperature, 0)
""",
            "You multiply by the temperature",
        ),
        ("def with_temperature(logits, temperature):\n    return F.softmax(temperature * logits, -1)", "You multiply"),
        ("def with_temperature(logits, temperature):\n    return F.softmax(logits / temperature, -1)", "divide by 0"),
        (
            """
def with_temperature(logits, temperature):
    if temperature:
        logits = logits / temperature
    return logits.softmax(0)
""",
            "as at temperature 1",
        ),
        (
            """
def with_temperature(logits, temperature):
    if temperature == 0:
        return torch.argmax(logits)
    return torch.softmax(logits / temperature, -1)
""",
            "the number of the token",
        ),
        (
            """
def with_temperature(logits, temperature):
    if temperature == 0:
        return (logits == logits.max()).float()
    return torch.softmax(logits, -1) / temperature
""",
            "do not sum to 1",
        ),
        (
            """
def with_temperature(logits, temperature):
    if temperature == 0:
        return (logits == logits.max()).float()
    probs = torch.softmax(logits, -1)
    return torch.softmax(probs / temperature, -1)
""",
            "a softmax again",
        ),
        (
            """
def with_temperature(logits, temperature):
    if temperature == 0:
        return (logits == logits.max()).float()
    powers = torch.exp(logits / temperature)
    return powers / powers.sum()
""",
            "more than float32 can hold",
        ),
    ],
    "05-keep-top-k": [
        (
            """
def keep_top_k(logits, k):
    border = logits.sort(descending=True).values[:k][-1]
    probs = logits.softmax(-1)
    probs[logits < border] = 0
    return probs
""",
            "does not sum to 1",
        ),
        (
            """
def keep_top_k(logits, k):
    border = logits.sort(descending=True).values[:k][-1]
    return torch.where(logits >= border, logits, 0.0).softmax(-1)
""",
            "must be −∞, not 0",
        ),
        (
            """
def keep_top_k(logits, k):
    border = logits.sort(descending=True).values[:k][-1]
    return torch.where(logits >= border, logits.softmax(-1), 0.0).softmax(-1)
""",
            "softmax twice",
        ),
        (
            """
def keep_top_k(logits, k):
    border = logits.topk(min(k, len(logits))).values[-1]
    return logits.masked_fill(logits <= border, -torch.inf).softmax(-1)
""",
            "You keep k − 1 tokens",
        ),
        (
            """
def keep_top_k(logits, k):
    border = logits.sort(descending=True).values[: k + 1][-1]
    return logits.masked_fill(logits < border, -torch.inf).softmax(-1)
""",
            "You keep k + 1 tokens",
        ),
        (
            """
def keep_top_k(logits, k):
    border = logits.sort().values[:k][-1]
    return logits.masked_fill(logits > border, -torch.inf).softmax(-1)
""",
            "the k unlikeliest",
        ),
        (
            "def keep_top_k(logits, k):\n    return logits.sort(descending=True).values[:k].softmax(-1)",
            "the k kept probabilities alone",
        ),
        ("def keep_top_k(logits, k):\n    return F.softmax(logits, 0)", "Nothing is left out"),
        (
            """
def keep_top_k(logits, k):
    border = logits.topk(k).values[-1]
    return logits.masked_fill(logits < border, -torch.inf).softmax(-1)
""",
            "raised RuntimeError",
        ),
    ],
    "05-keep-top-p": [
        (
            """
def keep_top_p(probs, p):
    ranked, order = probs.sort(descending=True)
    ranked[ranked.cumsum(0) > p] = 0
    result = torch.zeros_like(probs)
    result[order] = ranked
    return result / result.sum()
""",
            "The token that crosses p is missing",
        ),
        (
            """
def keep_top_p(probs, p):
    ranked, order = probs.sort(descending=True)
    count = int((ranked.cumsum(0) <= p).sum()) + 2
    result = torch.zeros_like(probs)
    result[order[:count]] = ranked[:count]
    return result / result.sum()
""",
            "one token too many",
        ),
        (
            """
def keep_top_p(probs, p):
    ranked, order = probs.sort(descending=True)
    ranked[ranked.cumsum(0) - ranked >= p] = 0
    result = torch.zeros_like(probs)
    result[order] = ranked
    return result
""",
            "does not sum to 1",
        ),
        (
            """
def keep_top_p(probs, p):
    ranked, order = probs.sort(descending=True)
    ranked[ranked.cumsum(0) - ranked >= p] = 0
    return ranked / ranked.sum()
""",
            "in the order of their rank",
        ),
        (
            """
def keep_top_p(probs, p):
    before = probs.cumsum(0) - probs
    kept = probs.masked_fill(before >= p, 0)
    return kept / kept.sum()
""",
            "in the order of the vocabulary",
        ),
        (
            """
def keep_top_p(probs, p):
    ranked, order = probs.sort()
    ranked[ranked.cumsum(0) - ranked >= p] = 0
    result = torch.zeros_like(probs)
    result[order] = ranked
    return result / result.sum()
""",
            "begin with the unlikeliest",
        ),
        (
            """
def keep_top_p(probs, p):
    kept = torch.where(probs >= p, probs, 0.0)
    return kept / kept.sum()
""",
            "compare each probability with p",
        ),
        (
            """
def keep_top_p(probs, p):
    ranked, order = probs.sort(descending=True)
    ranked[ranked.cumsum(0) - ranked >= p] = 0
    result = torch.zeros_like(probs)
    result[order] = ranked
    return result.softmax(-1)
""",
            "makes each 0 a weight again",
        ),
    ],
    "05-draw": [
        ("def draw(probs, u):\n    return probs.argmax().item()", "that is greedy"),
        (
            """
def draw(probs, u):
    total = 0.0
    for i, prob in enumerate(probs.tolist()):
        total += prob
        if total >= u:
            return i
""",
            "<, not ≤",
        ),
        ("def draw(probs, u):\n    return torch.searchsorted(probs.cumsum(0), u).item()", "<, not ≤"),
        (
            """
def draw(probs, u):
    i, total = 0, 0.0
    while total <= u:
        total += probs[i].item()
        i += 1
    return i
""",
            "one token too far",
        ),
        (
            "def draw(probs, u):\n    return int((probs.cumsum(0) <= u).sum()) - 1",
            "one token too early",
        ),
        (
            """
def draw(probs, u):
    for i, prob in enumerate(probs.tolist()):
        if u < prob:
            return i
    return 0
""",
            "their running sum",
        ),
        (
            """
def draw(probs, u):
    ranked = probs.sort(descending=True).values
    return int((ranked.cumsum(0) <= u).sum())
""",
            "the place in the sorted list",
        ),
        (
            """
def draw(probs, u):
    ranked, order = probs.sort(descending=True)
    return order[int((ranked.cumsum(0) <= u).sum())].item()
""",
            "token 0 at the left",
        ),
    ],
    "05-cached-attention": [
        (
            """
def cached_attention(q, k, v, k_cache, v_cache):
    weights = (q @ k_cache.T / math.sqrt(q.size(-1))).softmax(-1)
    return [weights @ v_cache, torch.cat((k_cache, k)), torch.cat((v_cache, v))]
""",
            "attend to all S + 1",
        ),
        (
            """
def cached_attention(q, k, v, k_cache, v_cache):
    keys, values = torch.cat((k_cache, k)), torch.cat((v_cache, v))
    weights = (q @ keys.T / math.sqrt(q.size(-1))).softmax(-1)
    return [weights @ values, k_cache, v_cache]
""",
            "get lost",
        ),
        (
            """
def cached_attention(q, k, v, k_cache, v_cache):
    weights = (q @ k_cache.T / math.sqrt(q.size(-1))).softmax(-1)
    return [weights @ v_cache, k_cache, v_cache]
""",
            "The caches do not grow",
        ),
        (
            """
def cached_attention(q, k, v, k_cache, v_cache):
    keys, values = torch.cat((k, k_cache)), torch.cat((v, v_cache))
    weights = (q @ keys.T / math.sqrt(q.size(-1))).softmax(-1)
    return [weights @ values, keys, values]
""",
            "stands in front",
        ),
        (
            """
def cached_attention(q, k, v, k_cache, v_cache):
    keys, values = torch.cat((k_cache, k)), torch.cat((v_cache, k))
    weights = (q @ keys.T / math.sqrt(q.size(-1))).softmax(-1)
    return [weights @ values, keys, values]
""",
            "has got the new key",
        ),
        (
            """
def cached_attention(q, k, v, k_cache, v_cache):
    keys, values = torch.cat((k_cache, k)), torch.cat((v_cache, v))
    output = F.scaled_dot_product_attention(q[None], keys[None], values[None], is_causal=True)[0]
    return [output, keys, values]
""",
            "lets the query see key 0 alone",
        ),
        (
            """
def cached_attention(q, k, v, k_cache, v_cache):
    keys, values = torch.cat((k_cache, k)), torch.cat((v_cache, v))
    return [(q @ keys.T).softmax(-1) @ values, keys, values]
""",
            "1/√d is missing",
        ),
        (
            """
def cached_attention(q, k, v, k_cache, v_cache):
    keys, values = torch.cat((k_cache, k)), torch.cat((v_cache, v))
    return [(q @ keys.T / math.sqrt(q.size(-1))).softmax(0) @ values, keys, values]
""",
            "there is one query",
        ),
        (
            """
def cached_attention(q, k, v, k_cache, v_cache):
    keys, values = torch.cat((k_cache, k)), torch.cat((v_cache, v))
    output = (q @ keys.T / math.sqrt(q.size(-1))).softmax(-1) @ v_cache
    return [output, keys, values]
""",
            "raised RuntimeError",
        ),
    ],
    "05-unequal-prompts": [
        (padded("place.expand(len(prompts), longest)"), "The bug is still there"),
        (padded("place - padding[:, None]"), "positions below 0"),
        (padded("(place + 1 - padding[:, None]) * (place >= padding[:, None])"), "Positions start at 1"),
        (padded("place + padding[:, None]"), "take it away"),
        (
            """
def padded_prompts(prompts):
    longest = max(len(prompt) for prompt in prompts)
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    tokens = torch.tensor([prompt + [0] * (longest - len(prompt)) for prompt in prompts])
    place = torch.arange(longest)
    positions = place.expand(len(prompts), longest)
    real = place < lengths[:, None]
    causal = place[:, None] >= place
    mask = causal & real[:, None, :] | torch.eye(longest, dtype=torch.bool)
    return [tokens, positions, mask]
""",
            "You pad on the right now",
        ),
        (padded(mask="causal.expand(len(prompts), longest, longest)"), "The mask was right"),
        (
            padded(
                "torch.relu((tokens != 0).cumsum(1) - 1)",
                "causal & (tokens != 0)[:, None, :] | torch.eye(longest, dtype=torch.bool)",
            ),
            "Token 0 is a token, too",
        ),
    ],
}
