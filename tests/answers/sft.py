"""Answers to the exercises of notebook 08, as learners write them (see `attention.py`)."""

RIGHT = {
    "08-chat-template": [
        "def render_chat(question, answer, user, assistant, end):\n    return [user] + question + [assistant] + answer + [end]",
        """
def render_chat(question, answer, user, assistant, end):
    row = [user]
    row.extend(question)
    row.append(assistant)
    row.extend(answer)
    row.append(end)
    return tuple(row)
""",
    ],
    "08-loss-mask": [
        """
def answer_targets(tokens, n_prompt):
    return [tokens[:-1], [-100] * (n_prompt - 1) + tokens[n_prompt:]]
""",
        """
def answer_targets(tokens, n_prompt):
    inputs, targets = [], []
    for place in range(1, len(tokens)):
        inputs.append(tokens[place - 1])
        targets.append(tokens[place] if place >= n_prompt else -100)
    return inputs, targets
""",
    ],
    "08-answer-loss": [
        "def answer_loss(logits, targets):\n    return F.cross_entropy(logits.transpose(1, 2), targets)",
        """
def answer_loss(logits, targets):
    counts = targets != -100
    log_probs = logits.log_softmax(-1)[counts]
    return -log_probs[torch.arange(len(log_probs)), targets[counts]].mean()
""",
    ],
    "08-padding": [
        """
def pad_batch(rows, pad):
    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=pad)
""",
        """
def pad_batch(rows, pad):
    batch = torch.full((len(rows), max(len(row) for row in rows)), pad)
    for i, row in enumerate(rows):
        batch[i, : len(row)] = torch.tensor(row)
    return batch
""",
    ],
    "08-never-stops": [
        """
def repaired_targets(tokens, n_prompt, lengths, end):
    places = torch.arange(tokens.size(1))
    counts = (places >= torch.tensor(n_prompt)[:, None]) & (places < torch.tensor(lengths)[:, None])
    return tokens.where(counts, -100)[:, 1:]
""",
        """
def repaired_targets(tokens, n_prompt, lengths, end):
    rows = []
    for row, first, length in zip(tokens.tolist(), n_prompt, lengths):
        rows.append([-100] * (first - 1) + row[first:length] + [-100] * (len(row) - length))
    return torch.tensor(rows)
""",
    ],
    "08-knows-or-remembers": [
        """
def knows_or_remembers(right, seen):
    right, seen = torch.tensor(right).double(), torch.tensor(seen)
    a, b = right[seen], right[~seen]
    p = right.mean()
    error = (p * (1 - p) * (1 / len(a) + 1 / len(b))).sqrt()
    return [a.mean(), b.mean(), (a.mean() - b.mean()) / error]
""",
        """
def knows_or_remembers(right, seen):
    n = sum(seen)
    m = len(seen) - n
    x = sum(1 for r, s in zip(right, seen) if r and s)
    y = sum(1 for r, s in zip(right, seen) if r and not s)
    p = (x + y) / (n + m)
    return [x / n, y / m, (x / n - y / m) / math.sqrt(p * (1 - p) * (n + m) / (n * m))]
""",
    ],
}

WRONG = {
    "08-chat-template": [
        (
            "def render_chat(question, answer, user, assistant, end):\n    return [user] + question + [assistant] + answer",
            "end mark is missing",
        ),
        (
            "def render_chat(question, answer, user, assistant, end):\n    return [user] + question + answer + [end]",
            "assistant's mark is missing",
        ),
        (
            "def render_chat(question, answer, user, assistant, end):\n    return [user] + question + [end, assistant] + answer + [end]",
            "after the question, too",
        ),
        (
            "def render_chat(question, answer, user, assistant, end):\n    return question + [user] + answer + [assistant, end]",
            "behind what is said",
        ),
        (
            "def render_chat(question, answer, user, assistant, end):\n    return [assistant] + question + [user] + answer + [end]",
            "roles are exchanged",
        ),
        (
            "def render_chat(question, answer, user, assistant, end):\n    return [1, *question, 2, *answer, 3]",
            "expected is",
        ),
    ],
    "08-loss-mask": [
        ("def answer_targets(tokens, n_prompt):\n    return [tokens[:-1], tokens[1:]]", "All tokens count"),
        (
            "def answer_targets(tokens, n_prompt):\n    targets = tokens[1:]\n    targets[:n_prompt] = [-100] * n_prompt\n    return [tokens[:-1], targets]",
            "One too many",
        ),
        (
            "def answer_targets(tokens, n_prompt):\n    targets = tokens[1:]\n    targets[: n_prompt - 2] = [-100] * (n_prompt - 2)\n    return [tokens[:-1], targets]",
            "One too few",
        ),
        (
            "def answer_targets(tokens, n_prompt):\n    masked = [-100] * n_prompt + tokens[n_prompt:]\n    return [tokens[:-1], masked[:-1]]",
            "not shifted",
        ),
        (
            "def answer_targets(tokens, n_prompt):\n    targets = tokens[1:]\n    targets[n_prompt - 1 :] = [-100] * len(targets[n_prompt - 1 :])\n    return [tokens[:-1], targets]",
            "wrong way round",
        ),
    ],
    "08-answer-loss": [
        (
            "def answer_loss(logits, targets):\n    return F.cross_entropy(logits.transpose(1, 2), targets, reduction='none').mean()",
            "divide by all positions",
        ),
        (
            """
def answer_loss(logits, targets):
    return torch.stack([F.cross_entropy(l, t) for l, t in zip(logits, targets)]).mean()
""",
            "same weight here",
        ),
        (
            "def answer_loss(logits, targets):\n    return F.cross_entropy(logits.transpose(1, 2), targets.clamp(min=0))",
            "as if token 0",
        ),
        (
            "def answer_loss(logits, targets):\n    return F.cross_entropy(logits.transpose(1, 2), targets, reduction='sum')",
            "This is the sum",
        ),
        ("def answer_loss(logits, targets):\n    return -F.cross_entropy(logits.transpose(1, 2), targets)", "The sign"),
    ],
    "08-padding": [
        (
            "def pad_batch(rows, pad):\n    n = max(map(len, rows))\n    return torch.tensor([[pad] * (n - len(r)) + r for r in rows])",
            "in front",
        ),
        (
            "def pad_batch(rows, pad):\n    n = min(map(len, rows))\n    return torch.tensor([r[:n] for r in rows])",
            "cut to the shortest",
        ),
        (
            "def pad_batch(rows, pad):\n    n = max(map(len, rows)) + 1\n    return torch.tensor([r + [pad] * (n - len(r)) for r in rows])",
            "one column of padding too many",
        ),
        (
            "def pad_batch(rows, pad):\n    return nn.utils.rnn.pad_sequence([torch.tensor(r) for r in rows], padding_value=pad)",
            "on its side",
        ),
        ("def pad_batch(rows, pad):\n    return torch.tensor(rows)", "raised ValueError"),
        (
            "def pad_batch(rows, pad):\n    return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)",
            "always 0",
        ),
        (
            "def pad_batch(rows, pad):\n    longest = max(len(row) for row in rows)\n    return torch.tensor([row + [pad] * (longest - len(row)) for row in rows]).float()",
            "whole numbers",
        ),
    ],
    "08-never-stops": [
        (
            """
def repaired_targets(tokens, n_prompt, lengths, end):
    targets = tokens.clone()
    for row, first in enumerate(n_prompt):
        targets[row, :first] = -100
    targets[targets == end] = -100
    return targets[:, 1:]
""",
            "end mark still does not count",
        ),
        (
            """
def repaired_targets(tokens, n_prompt, lengths, end):
    targets = tokens.clone()
    for row, first in enumerate(n_prompt):
        targets[row, :first] = -100
    return targets[:, 1:]
""",
            "The padding counts",
        ),
        (
            """
def repaired_targets(tokens, n_prompt, lengths, end):
    targets = tokens.clone()
    for row, length in enumerate(lengths):
        targets[row, length:] = -100
    return targets[:, 1:]
""",
            "The prompt counts",
        ),
        (
            """
def repaired_targets(tokens, n_prompt, lengths, end):
    targets = tokens.clone()
    for row in range(len(tokens)):
        targets[row, : n_prompt[row]] = -100
        targets[row, lengths[row] :] = -100
    return targets
""",
            "not shifted",
        ),
        (
            """
def repaired_targets(tokens, n_prompt, lengths, end):
    targets = tokens[:, 1:].clone()
    for row in range(len(tokens)):
        targets[row, : n_prompt[row]] = -100
        targets[row, lengths[row] - 1 :] = -100
    return targets
""",
            "first token is masked",
        ),
    ],
    "08-knows-or-remembers": [
        (
            """
def knows_or_remembers(right, seen):
    a = [r for r, s in zip(right, seen) if not s]
    b = [r for r, s in zip(right, seen) if s]
    p = sum(right) / len(right)
    x, y = sum(a) / len(a), sum(b) / len(b)
    return [x, y, (x - y) / math.sqrt(p * (1 - p) * (1 / len(a) + 1 / len(b)))]
""",
            "groups are exchanged",
        ),
        (
            """
def knows_or_remembers(right, seen):
    a = [r for r, s in zip(right, seen) if s]
    b = [r for r, s in zip(right, seen) if not s]
    p = sum(right) / len(right)
    x, y = sum(a) / len(a), sum(b) / len(b)
    return [x, y, (x - y) / (p * (1 - p) * (1 / len(a) + 1 / len(b)))]
""",
            "root is missing",
        ),
        (
            """
def knows_or_remembers(right, seen):
    a = [r for r, s in zip(right, seen) if s]
    b = [r for r, s in zip(right, seen) if not s]
    x, y = sum(a) / len(a), sum(b) / len(b)
    return [x, y, (x - y) / math.sqrt(x * (1 - x) / len(a) + y * (1 - y) / len(b))]
""",
            "each group's own p",
        ),
        (
            """
def knows_or_remembers(right, seen):
    a = [r for r, s in zip(right, seen) if s]
    b = [r for r, s in zip(right, seen) if not s]
    x, y, p = sum(a) / len(a), sum(b) / len(b), sum(right) / len(right)
    z = (x - y) / math.sqrt(p * (1 - p) * (1 / len(a) + 1 / len(b)))
    return [sum(a) / len(right), sum(b) / len(right), z]
""",
            "of its own group",
        ),
        (
            """
def knows_or_remembers(right, seen):
    a = [r for r, s in zip(right, seen) if s]
    b = [r for r, s in zip(right, seen) if not s]
    return [sum(a) / len(a), sum(b) / len(b), sum(a) / len(a) - sum(b) / len(b)]
""",
            "bare difference",
        ),
    ],
}
