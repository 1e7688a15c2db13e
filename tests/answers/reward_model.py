"""Answers to the exercises of notebook 09, as learners write them (see `attention.py`)."""

RIGHT = {
    "09-pairs": [
        "def pairs_of(ranking):\n    return [(a, b) for i, a in enumerate(ranking) for b in ranking[i + 1 :]]",
        """
def pairs_of(ranking):
    if len(ranking) < 2:
        return []
    best, *rest = ranking
    return [[best, other] for other in rest] + pairs_of(rest)
""",
    ],
    "09-ranking-loss": [
        """
def ranking_loss(rewards):
    K = rewards.size(1)
    losses = [F.softplus(rewards[:, j] - rewards[:, i]) for i in range(K) for j in range(i + 1, K)]
    return torch.stack(losses).mean()
""",
        """
def ranking_loss(rewards):
    table = rewards[:, :, None] - rewards[:, None, :]
    above = torch.ones(table.shape[1:], dtype=torch.bool).triu(1)
    return F.binary_cross_entropy_with_logits(table[:, above], torch.ones_like(table[:, above]))
""",
    ],
    "09-last-token": [
        """
def last_token_rewards(hidden, lengths, weight):
    return torch.stack([row[n - 1] @ weight for row, n in zip(hidden, lengths)])
""",
        """
def last_token_rewards(hidden, lengths, weight):
    rewards = hidden @ weight
    return rewards.gather(1, (lengths - 1)[:, None]).squeeze(1)
""",
    ],
    "09-agreement": [
        """
def agreement(rewards, gold):
    score, n = 0.0, 0
    for r, g in zip(rewards.tolist(), gold.tolist()):
        for i in range(len(g)):
            for j in range(i + 1, len(g)):
                if g[i] == g[j]:
                    continue
                n += 1
                if r[i] == r[j]:
                    score += 0.5
                elif (r[i] > r[j]) == (g[i] > g[j]):
                    score += 1
    return score / n
""",
        """
def agreement(rewards, gold):
    r, g = (x[:, :, None] - x[:, None, :] for x in (rewards, gold))
    better = g > 0
    return ((r[better] > 0).double() + 0.5 * (r[better] == 0)).mean()
""",
    ],
    "09-overconfidence": [
        """
def overconfidence(differences, chosen):
    d, c = torch.tensor(differences), torch.tensor(chosen)
    claimed = d.abs().sigmoid().mean().item()
    kept = ((d > 0) == c).float().mean().item()
    return [claimed, kept, claimed - kept]
""",
        """
def overconfidence(differences, chosen):
    claimed = kept = 0
    for d, c in zip(differences, chosen):
        p = 1 / (1 + math.exp(-d))
        claimed += max(p, 1 - p)
        kept += c if p > 0.5 else not c
    n = len(chosen)
    return claimed / n, kept / n, (claimed - kept) / n
""",
    ],
    "09-likes-long-answers": [
        """
def repaired_pair_loss(better, worse, better_lengths, worse_lengths):
    a = better.gather(1, better_lengths[:, None] - 1)
    b = worse.gather(1, worse_lengths[:, None] - 1)
    return F.softplus(b - a).mean()
""",
        """
def repaired_pair_loss(better, worse, better_lengths, worse_lengths):
    losses = []
    for a, b, n, m in zip(better, worse, better_lengths, worse_lengths):
        losses.append(-torch.sigmoid(a[n - 1] - b[m - 1]).log())
    return torch.stack(losses).mean()
""",
    ],
}

WRONG = {
    "09-pairs": [
        ("def pairs_of(ranking):\n    return [[a, b] for a, b in zip(ranking, ranking[1:])]", "Only neighbours"),
        ("def pairs_of(ranking):\n    return [[a, b] for a in ranking for b in ranking if a != b]", "both ways round"),
        (
            "def pairs_of(ranking):\n    return [[b, a] for i, a in enumerate(ranking) for b in ranking[i + 1 :]]",
            "wrong way round",
        ),
        (
            "def pairs_of(ranking):\n    return [[a, b] for i, a in enumerate(ranking) for b in ranking[i:]]",
            "with itself",
        ),
        ("def pairs_of(ranking):\n    return [[ranking[0], other] for other in ranking[1:]]", "Only the best"),
    ],
    "09-ranking-loss": [
        (
            "def ranking_loss(rewards):\n    return -F.logsigmoid(rewards[:, :-1] - rewards[:, 1:]).mean()",
            "Only neighbours",
        ),
        (
            """
def ranking_loss(rewards):
    i, j = torch.triu_indices(rewards.size(1), rewards.size(1), 1)
    return -F.logsigmoid(rewards[:, j] - rewards[:, i]).mean()
""",
            "wrong way round",
        ),
        (
            """
def ranking_loss(rewards):
    i, j = torch.triu_indices(rewards.size(1), rewards.size(1), 1)
    return F.logsigmoid(rewards[:, i] - rewards[:, j]).mean()
""",
            "The sign",
        ),
        (
            """
def ranking_loss(rewards):
    i, j = torch.triu_indices(rewards.size(1), rewards.size(1), 1)
    return (1 - torch.sigmoid(rewards[:, i] - rewards[:, j])).mean()
""",
            "logarithm is missing",
        ),
        (
            """
def ranking_loss(rewards):
    i, j = torch.triu_indices(rewards.size(1), rewards.size(1), 1)
    return -torch.log(torch.sigmoid(rewards[:, i] - rewards[:, j])).mean()
""",
            "training breaks",
        ),
        (
            """
def ranking_loss(rewards):
    i, j = torch.triu_indices(rewards.size(1), rewards.size(1), 1)
    return -F.logsigmoid(rewards[:, i] - rewards[:, j]).sum()
""",
            "This is the sum",
        ),
        (
            "def ranking_loss(rewards):\n    a, b = torch.triu_indices(rewards.size(1), rewards.size(1), offset=1)\n    return torch.log(1 + torch.exp(-(rewards[:, a] - rewards[:, b]))).mean()",
            "in whatever way",
        ),
    ],
    "09-last-token": [
        ("def last_token_rewards(hidden, lengths, weight):\n    return hidden[:, -1] @ weight", "The last column"),
        (
            "def last_token_rewards(hidden, lengths, weight):\n    return hidden[torch.arange(len(lengths)), lengths] @ weight",
            "One place too far",
        ),
        (
            "def last_token_rewards(hidden, lengths, weight):\n    return torch.stack([row[:n].mean(0) @ weight for row, n in zip(hidden, lengths)])",
            "the mean over the answer's tokens",
        ),
        ("def last_token_rewards(hidden, lengths, weight):\n    return (hidden @ weight)[:, 0]", "The first token"),
        ("def last_token_rewards(hidden, lengths, weight):\n    return hidden @ weight", "Each token has a reward"),
    ],
    "09-agreement": [
        (
            """
def agreement(rewards, gold):
    i, j = torch.triu_indices(gold.size(1), gold.size(1), 1)
    return ((rewards[:, i] - rewards[:, j]).sign() == (gold[:, i] - gold[:, j]).sign()).double().mean()
""",
            "Pairs that gold ties",
        ),
        (
            """
def agreement(rewards, gold):
    i, j = torch.triu_indices(gold.size(1), gold.size(1), 1)
    g = (gold[:, i] - gold[:, j]).sign()
    return ((rewards[:, i] - rewards[:, j]).sign() == g)[g != 0].double().mean()
""",
            "counts as wrong here",
        ),
        (
            "def agreement(rewards, gold):\n    return (rewards.argmax(1) == gold.argmax(1)).double().mean()",
            "best answers only",
        ),
        (
            """
def agreement(rewards, gold):
    i, j = torch.triu_indices(gold.size(1), gold.size(1), 1)
    g, r = (gold[:, i] - gold[:, j]).sign(), (rewards[:, i] - rewards[:, j]).sign()
    return ((1 - g * r) / 2)[g != 0].double().mean()
""",
            "the disagreement",
        ),
        (
            """
def agreement(rewards, gold):
    i, j = torch.triu_indices(gold.size(1), gold.size(1), 1)
    g, r = (gold[:, i] - gold[:, j]).sign(), (rewards[:, i] - rewards[:, j]).sign()
    return (g * r)[g != 0].double().mean()
""",
            "between −1 and 1",
        ),
        (
            "def agreement(rewards, gold):\n    right, total = 0, 0\n    for r, g in zip(rewards.tolist(), gold.tolist()):\n        for i in range(len(r)):\n            for j in range(i + 1, len(r)):\n                if g[i] != g[j] and r[i] != r[j]:\n                    total += 1\n                    right += (r[i] > r[j]) == (g[i] > g[j])\n    return right / total",
            "left out here",
        ),
    ],
    "09-overconfidence": [
        (
            """
def overconfidence(differences, chosen):
    d, c = torch.tensor(differences), torch.tensor(chosen)
    claimed, kept = d.sigmoid().mean().item(), ((d > 0) == c).float().mean().item()
    return [claimed, kept, claimed - kept]
""",
            "probability of the first answer",
        ),
        (
            """
def overconfidence(differences, chosen):
    d, c = torch.tensor(differences), torch.tensor(chosen)
    claimed, kept = d.abs().sigmoid().mean().item(), c.float().mean().item()
    return [claimed, kept, claimed - kept]
""",
            "people chose the first",
        ),
        (
            """
def overconfidence(differences, chosen):
    d, c = torch.tensor(differences), torch.tensor(chosen)
    claimed, kept = d.abs().mean().sigmoid().item(), ((d > 0) == c).float().mean().item()
    return [claimed, kept, claimed - kept]
""",
            "not the mean of σ",
        ),
        (
            """
def overconfidence(differences, chosen):
    d, c = torch.tensor(differences), torch.tensor(chosen)
    claimed, kept = d.abs().sigmoid().mean().item(), ((d > 0) == c).float().mean().item()
    return [claimed, kept, kept - claimed]
""",
            "sign of the last number",
        ),
        (
            """
def overconfidence(differences, chosen):
    d, c = torch.tensor(differences), torch.tensor(chosen)
    claimed, kept = d.abs().sigmoid().mean().item(), ((d > 0) == c).float().mean().item()
    return [kept, claimed, claimed - kept]
""",
            "changed places",
        ),
    ],
    "09-likes-long-answers": [
        (
            """
def repaired_pair_loss(better, worse, better_lengths, worse_lengths):
    a = torch.stack([row[:n].sum() for row, n in zip(better, better_lengths)])
    b = torch.stack([row[:n].sum() for row, n in zip(worse, worse_lengths)])
    return -F.logsigmoid(a - b).mean()
""",
            "now over the real tokens",
        ),
        (
            "def repaired_pair_loss(better, worse, better_lengths, worse_lengths):\n    return -F.logsigmoid(better.sum(1) - worse.sum(1)).mean()",
            "over the padding as well",
        ),
        (
            "def repaired_pair_loss(better, worse, better_lengths, worse_lengths):\n    return -F.logsigmoid(better[:, -1] - worse[:, -1]).mean()",
            "The last column",
        ),
        (
            """
def repaired_pair_loss(better, worse, better_lengths, worse_lengths):
    rows = torch.arange(len(better))
    return -F.logsigmoid(better[rows, better_lengths - 1] - worse[rows, better_lengths - 1]).mean()
""",
            "each has its own end",
        ),
        (
            """
def repaired_pair_loss(better, worse, better_lengths, worse_lengths):
    rows = torch.arange(len(better))
    return -F.logsigmoid(better[rows, better_lengths] - worse[rows, worse_lengths]).mean()
""",
            "One place too far",
        ),
        (
            """
def repaired_pair_loss(better, worse, better_lengths, worse_lengths):
    rows = torch.arange(len(better))
    return -F.logsigmoid(worse[rows, worse_lengths - 1] - better[rows, better_lengths - 1]).mean()
""",
            "wrong way round",
        ),
        (
            "def repaired_pair_loss(better, worse, better_lengths, worse_lengths):\n    def mean(x, n):\n        return torch.stack([row[:k].mean() for row, k in zip(x, n.tolist())])\n    return -F.logsigmoid(mean(better, better_lengths) - mean(worse, worse_lengths)).mean()",
            "mean over the tokens",
        ),
    ],
}
