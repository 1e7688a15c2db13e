"""Answers to the exercises of notebook 04, as learners write them (see `attention.py`)."""

RIGHT = {
    "04-inputs-and-targets": [
        """
def inputs_and_targets(tokens, start, length):
    window = tokens[start : start + length + 1]
    return [window[:-1], window[1:]]
""",
        """
def inputs_and_targets(tokens, start, length):
    places = start + torch.arange(length)
    return tokens[places], tokens[places + 1]
""",
    ],
    "04-unigram-entropy": [
        """
def unigram_entropy(tokens):
    probs = torch.bincount(tokens).float() / len(tokens)
    probs = probs[probs > 0]
    return -(probs * probs.log()).sum()
""",
        """
def unigram_entropy(tokens):
    row = tokens.tolist()
    return sum(-math.log(row.count(token) / len(row)) for token in row) / len(row)
""",
    ],
    "04-bigram-entropy": [
        """
def bigram_entropy(tokens):
    from collections import Counter
    row = tokens.tolist()
    pairs, firsts = Counter(zip(row, row[1:])), Counter(row[:-1])
    return sum(-math.log(pairs[a, b] / firsts[a]) for a, b in zip(row, row[1:])) / (len(row) - 1)
""",
        """
def bigram_entropy(tokens):
    V = int(tokens.max()) + 1
    table = torch.zeros(V, V, dtype=torch.float64)
    for a, b in zip(tokens[:-1], tokens[1:]):
        table[a, b] += 1
    conditional = table / table.sum(1, keepdim=True).clamp(min=1)
    return -(torch.special.xlogy(table, conditional)).sum() / table.sum()
""",
    ],
    "04-learning-rate": [
        """
def learning_rate(step, steps, warmup, highest, lowest):
    if step < warmup:
        return highest * (step + 1) / warmup
    progress = (step - warmup) / (steps - warmup)
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * progress)) / 2
""",
        """
def learning_rate(step, steps, warmup, highest, lowest):
    rising = highest * (step + 1) / warmup
    middle, swing = (highest + lowest) / 2, (highest - lowest) / 2
    falling = middle + swing * math.cos(math.pi * (step - warmup) / (steps - warmup))
    return rising if step < warmup else falling
""",
    ],
    "04-training-step": [
        """
def training_step(weight, inputs, targets, learning_rate, clip):
    weight = torch.nn.Parameter(weight.clone())
    optimizer = torch.optim.SGD([weight], lr=learning_rate)
    loss = F.cross_entropy(weight[inputs], targets)
    loss.backward()
    torch.nn.utils.clip_grad_norm_([weight], clip)
    optimizer.step()
    return [loss.item(), weight.detach()]
""",
        """
def training_step(weight, inputs, targets, learning_rate, clip):
    log_probs = weight[inputs].log_softmax(-1)
    loss = -log_probs[torch.arange(len(inputs)), targets].mean()
    error = (log_probs.exp() - F.one_hot(targets, weight.size(1))) / len(inputs)
    gradient = torch.zeros_like(weight).index_add(0, inputs, error)
    length = gradient.pow(2).sum().sqrt()
    if length > clip:
        gradient = gradient * (clip / length)
    return [loss, weight - learning_rate * gradient]
""",
    ],
    "04-milestones": [
        """
def milestones(losses, levels):
    result = []
    for level in levels:
        step = len(losses)
        while step > 0 and losses[step - 1] < level:
            step -= 1
        result.append(step if step < len(losses) else -1)
    return result
""",
        """
def milestones(losses, levels):
    worst_to_come = torch.tensor(losses).flip(0).cummax(0).values.flip(0)
    result = []
    for level in levels:
        below = (worst_to_come < level).nonzero()
        result.append(int(below[0]) if len(below) else -1)
    return result
""",
    ],
    "04-too-good-a-loss": [
        """
def repaired_loss(logits, tokens):
    B, T, V = logits.shape
    return F.cross_entropy(logits[:, : T - 1].reshape(-1, V), tokens[:, 1:].reshape(-1))
""",
        """
def repaired_loss(logits, tokens):
    log_probs = logits.log_softmax(-1)
    losses = [-log_probs[b, t, tokens[b, t + 1]] for b in range(len(tokens)) for t in range(tokens.size(1) - 1)]
    return torch.stack(losses).mean()
""",
    ],
}

WRONG = {
    "04-inputs-and-targets": [
        (
            "def inputs_and_targets(tokens, start, length):\n    x = tokens[start : start + length]\n    return [x, x]",
            "learns to copy",
        ),
        (
            "def inputs_and_targets(tokens, start, length):\n    return [tokens[start : start + length], tokens[start - 1 : start - 1 + length]]",
            "from the past",
        ),
        (
            "def inputs_and_targets(tokens, start, length):\n    return [tokens[start : start + length], tokens[start + 2 : start + 2 + length]]",
            "two places later",
        ),
        (
            "def inputs_and_targets(tokens, start, length):\n    x = tokens[start : start + length]\n    return [x, x[1:]]",
            "last target is missing",
        ),
        (
            "def inputs_and_targets(tokens, start, length):\n    w = tokens[start : start + length + 1]\n    return [w[1:], w[:-1]]",
            "changed places",
        ),
    ],
    "04-unigram-entropy": [
        (
            "def unigram_entropy(tokens):\n    p = torch.bincount(tokens) / len(tokens)\n    p = p[p > 0]\n    return -(p * p.log2()).sum()",
            "These are bits",
        ),
        (
            "def unigram_entropy(tokens):\n    p = torch.bincount(tokens) / len(tokens)\n    p = p[p > 0]\n    return (p * p.log()).sum()",
            "The sign",
        ),
        ("def unigram_entropy(tokens):\n    return math.log(len(tokens.unique()))", "This is ln V"),
        (
            "def unigram_entropy(tokens):\n    n = torch.bincount(tokens).double()\n    n = n[n > 0]\n    return -(n * (n / len(tokens)).log()).sum()",
            "mean per token",
        ),
        (
            "def unigram_entropy(tokens):\n    p = torch.bincount(tokens, minlength=60) / len(tokens)\n    return -(p * p.log()).sum()",
            "nan",
        ),
    ],
    "04-bigram-entropy": [
        (
            """
def bigram_entropy(tokens):
    from collections import Counter
    row = tokens.tolist()
    pairs = Counter(zip(row, row[1:]))
    return -sum(n / (len(row) - 1) * math.log(n / (len(row) - 1)) for n in pairs.values())
""",
            "entropy of whole pairs",
        ),
        (
            """
def bigram_entropy(tokens):
    entropies = []
    for a in tokens[:-1].unique():
        after = tokens[1:][tokens[:-1] == a]
        p = torch.bincount(after) / len(after)
        p = p[p > 0]
        entropies.append(-(p * p.log()).sum())
    return sum(entropies) / len(entropies)
""",
            "same weight here",
        ),
        (
            """
def bigram_entropy(tokens):
    from collections import Counter
    row = tokens.tolist()
    pairs, firsts = Counter(zip(row, row[1:])), Counter(row[:-1])
    return -sum(n * math.log2(n / firsts[a]) for (a, b), n in pairs.items()) / (len(row) - 1)
""",
            "These are bits",
        ),
        (
            "def bigram_entropy(tokens):\n    p = torch.bincount(tokens) / len(tokens)\n    p = p[p > 0]\n    return -(p * p.log()).sum()",
            "context is not used",
        ),
        (
            """
def bigram_entropy(tokens):
    from collections import Counter
    row = tokens.tolist()
    pairs, firsts = Counter(zip(row, row[1:])), Counter(row[:-1])
    return sum(n * math.log(n / firsts[a]) for (a, b), n in pairs.items()) / (len(row) - 1)
""",
            "The sign",
        ),
    ],
    "04-learning-rate": [
        (
            """
def learning_rate(step, steps, warmup, highest, lowest):
    if step < warmup:
        return highest * step / warmup
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
""",
            "teaches nothing",
        ),
        (
            "def learning_rate(step, steps, warmup, highest, lowest):\n    return lowest + (highest - lowest) * (1 + math.cos(math.pi * step / steps)) / 2",
            "warm-up is missing",
        ),
        (
            """
def learning_rate(step, steps, warmup, highest, lowest):
    if step < warmup:
        return highest * (step + 1) / warmup
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * step / steps)) / 2
""",
            "where the warm-up ends",
        ),
        (
            """
def learning_rate(step, steps, warmup, highest, lowest):
    if step < warmup:
        return highest * (step + 1) / warmup
    share = (step - warmup) / (steps - warmup)
    return highest * (1 - share) + lowest * share
""",
            "straight line",
        ),
        (
            """
def learning_rate(step, steps, warmup, highest, lowest):
    if step < warmup:
        return highest * (step + 1) / warmup
    return highest * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
""",
            "falls to 0",
        ),
        (
            "def learning_rate(step, steps, warmup, highest, lowest):\n    if step < warmup:\n        return highest * (step + 1) / warmup\n    progress = (step - warmup) / (steps - warmup)\n    return highest * (0.1 + 0.9 * (1 + math.cos(math.pi * progress)) / 2)",
            "expected is",
        ),
    ],
    "04-training-step": [
        (
            """
def training_step(weight, inputs, targets, learning_rate, clip):
    w = weight.clone().requires_grad_()
    loss = F.cross_entropy(w[inputs], targets)
    loss.backward()
    nn.utils.clip_grad_norm_([w], clip)
    return [loss.item(), (w + learning_rate * w.grad).detach()]
""",
            "up the hill",
        ),
        (
            """
def training_step(weight, inputs, targets, learning_rate, clip):
    w = weight.clone().requires_grad_()
    loss = F.cross_entropy(w[inputs], targets)
    loss.backward()
    return [loss.item(), (w - learning_rate * w.grad).detach()]
""",
            "not clipped",
        ),
        (
            """
def training_step(weight, inputs, targets, learning_rate, clip):
    w = weight.clone().requires_grad_()
    loss = F.cross_entropy(w[inputs], targets)
    loss.backward()
    nn.utils.clip_grad_value_([w], clip)
    return [loss.item(), (w - learning_rate * w.grad).detach()]
""",
            "clipped alone",
        ),
        (
            """
def training_step(weight, inputs, targets, learning_rate, clip):
    w = weight.clone().requires_grad_()
    loss = F.cross_entropy(w[inputs], targets)
    loss.backward()
    return [loss.item(), (w - learning_rate * clip * w.grad / w.grad.norm()).detach()]
""",
            "always gets the length",
        ),
        (
            """
def training_step(weight, inputs, targets, learning_rate, clip):
    w = weight.clone().requires_grad_()
    loss = F.cross_entropy(w[inputs], targets, reduction="sum")
    loss.backward()
    nn.utils.clip_grad_norm_([w], clip)
    return [loss.item(), (w - learning_rate * w.grad).detach()]
""",
            "summed over the batch",
        ),
        (
            """
def training_step(weight, inputs, targets, learning_rate, clip):
    w = weight.clone().requires_grad_()
    F.cross_entropy(w[inputs], targets).backward()
    nn.utils.clip_grad_norm_([w], clip)
    w = (w - learning_rate * w.grad).detach()
    return [F.cross_entropy(w[inputs], targets).item(), w]
""",
            "after the step",
        ),
    ],
    "04-milestones": [
        (
            "def milestones(losses, levels):\n    return [next((i for i, x in enumerate(losses) if x < level), -1) for level in levels]",
            "lucky batch",
        ),
        (
            """
def milestones(losses, levels):
    found = []
    for level in levels:
        above = [i for i, x in enumerate(losses) if x >= level]
        found.append(above[-1] if above else 0)
    return found
""",
            "last step above",
        ),
        (
            """
def milestones(losses, levels):
    found = []
    for level in levels:
        above = [i for i, x in enumerate(losses) if x >= level]
        found.append(above[-1] + 1 if above else 0)
    return found
""",
            "must give −1",
        ),
        (
            "def milestones(losses, levels):\n    return [next((i for i, x in enumerate(losses) if x > level), -1) for level in levels]",
            "a loss below",
        ),
        (
            "def milestones(losses, levels):\n    found = []\n    for level in levels:\n        last = max([s for s, loss in enumerate(losses) if loss > level], default=-1)\n        found.append(last + 1 if last + 1 < len(losses) else -1)\n    return found",
            "expected is",
        ),
        (
            "def milestones(losses, levels):\n    found = []\n    for level in levels:\n        last = max(s for s, loss in enumerate(losses) if loss >= level)\n        found.append(last + 1 if last + 1 < len(losses) else -1)\n    return found",
            "ValueError",
        ),
    ],
    "04-too-good-a-loss": [
        (
            "def repaired_loss(logits, tokens):\n    return F.cross_entropy(logits.transpose(1, 2), tokens)",
            "learns to copy",
        ),
        (
            "def repaired_loss(logits, tokens):\n    return F.cross_entropy(logits[:, 1:].transpose(1, 2), tokens[:, :-1])",
            "shift the other way",
        ),
        (
            "def repaired_loss(logits, tokens):\n    return F.cross_entropy(logits[:, :-2].transpose(1, 2), tokens[:, 2:])",
            "shift by one only",
        ),
        (
            "def repaired_loss(logits, tokens):\n    return F.cross_entropy(logits.transpose(1, 2), torch.roll(tokens, -1, 1))",
            "cut, do not roll",
        ),
        (
            "def repaired_loss(logits, tokens):\n    return F.cross_entropy(logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction='sum')",
            "summed",
        ),
    ],
}
