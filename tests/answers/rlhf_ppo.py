"""Answers to the exercises of notebook 10, as learners write them (see `attention.py`)."""

RIGHT = {
    "10-reinforce": [
        "def reinforce_loss(log_probs, rewards):\n    return -((rewards - rewards.mean()) * log_probs).mean()",
        """
def reinforce_loss(log_probs, rewards):
    baseline = sum(rewards) / len(rewards)
    total = 0.0
    for log_prob, reward in zip(log_probs, rewards):
        total = total + log_prob * (baseline - reward)
    return total / len(rewards)
""",
    ],
    "10-kl-leash": [
        """
def leashed_rewards(score, log_probs, reference_log_probs, mask, beta):
    rewards = torch.zeros_like(log_probs)
    for row in range(len(score)):
        places = mask[row].nonzero()[:, 0]
        rewards[row, places] = beta * (reference_log_probs[row, places] - log_probs[row, places])
        rewards[row, places[-1]] += score[row]
    return rewards
""",
        """
def leashed_rewards(score, log_probs, reference_log_probs, mask, beta):
    last = mask & ~F.pad(mask[:, 1:], (0, 1)) & (mask.flip(1).cumsum(1).flip(1) == 1)
    return (score[:, None] * last - beta * (log_probs - reference_log_probs)) * mask
""",
    ],
    "10-gae": [
        """
def advantages_by_gae(rewards, values, mask, gamma, lam):
    values = values * mask
    advantages = torch.zeros_like(rewards)
    following = 0.0
    for t in range(rewards.size(1) - 1, -1, -1):
        next_value = values[:, t + 1] if t + 1 < rewards.size(1) else 0.0
        following = (rewards[:, t] + gamma * next_value - values[:, t] + gamma * lam * following) * mask[:, t]
        advantages[:, t] = following
    return advantages
""",
        """
def advantages_by_gae(rewards, values, mask, gamma, lam):
    result = torch.zeros_like(rewards)
    for row in range(len(rewards)):
        places = mask[row].nonzero()[:, 0].tolist()
        r, v = rewards[row, places], torch.cat((values[row, places], torch.zeros(1)))
        delta = r + gamma * v[1:] - v[:-1]
        for i, place in enumerate(places):
            result[row, place] = sum((gamma * lam) ** j * delta[i + j] for j in range(len(places) - i))
    return result
""",
    ],
    "10-ppo-objective": [
        """
def ppo_loss(log_probs, old_log_probs, advantages, mask, clip):
    ratio = torch.exp(log_probs - old_log_probs)
    worst = torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    return -worst[mask].mean()
""",
        """
def ppo_loss(log_probs, old_log_probs, advantages, mask, clip):
    ratio = (log_probs - old_log_probs).exp()
    limit = torch.where(advantages > 0, (1 + clip) * advantages, (1 - clip) * advantages)
    gain = torch.minimum(ratio * advantages, limit)
    return -(gain * mask).sum() / mask.sum()
""",
    ],
    "10-when-to-stop": [
        """
def when_to_stop(proxy, gold, kl, budget):
    best, best_gold = 0, -math.inf
    for step in range(len(gold)):
        if kl[step] <= budget and gold[step] > best_gold:
            best, best_gold = step, gold[step]
    return best
""",
        """
def when_to_stop(proxy, gold, kl, budget):
    within = torch.tensor(kl) <= budget
    return int(torch.tensor(gold).masked_fill(~within, -torch.inf).argmax())
""",
    ],
    "10-negative-kl": [
        """
def repaired_kl(log_probs, reference_log_probs, mask):
    log_r = reference_log_probs - log_probs
    return ((torch.expm1(log_r) - log_r) * mask).sum(1)
""",
        """
def repaired_kl(log_probs, reference_log_probs, mask):
    r = reference_log_probs.exp() / log_probs.exp()
    return torch.where(mask, r - 1 - r.log(), 0.0).sum(dim=-1)
""",
    ],
}

WRONG = {
    "10-reinforce": [
        (
            "def reinforce_loss(log_probs, rewards):\n    return ((rewards - rewards.mean()) * log_probs).mean()",
            "good answers become less likely",
        ),
        ("def reinforce_loss(log_probs, rewards):\n    return -(rewards * log_probs).mean()", "baseline is missing"),
        (
            "def reinforce_loss(log_probs, rewards):\n    return -((rewards - rewards.mean()) * log_probs).sum()",
            "This is the sum",
        ),
        (
            "def reinforce_loss(log_probs, rewards):\n    return -((rewards - rewards.mean()) * log_probs.exp()).mean()",
            "log π, not π",
        ),
        (
            "def reinforce_loss(log_probs, rewards):\n    return -((rewards + rewards.mean()) * log_probs).mean()",
            "baseline is added",
        ),
        (
            "def reinforce_loss(log_probs, rewards):\n    a = (rewards - rewards.mean()) / rewards.std()\n    return -(log_probs * a).mean()",
            "divided by their deviation",
        ),
    ],
    "10-kl-leash": [
        (
            """
def leashed_rewards(score, log_probs, reference_log_probs, mask, beta):
    rewards = beta * (log_probs - reference_log_probs) * mask
    for row in range(len(score)):
        rewards[row, mask[row].nonzero()[-1, 0]] += score[row]
    return rewards
""",
            "pulls the wrong way",
        ),
        (
            "def leashed_rewards(score, log_probs, reference_log_probs, mask, beta):\n    return mask * (score[:, None] - beta * (log_probs - reference_log_probs))",
            "at every token",
        ),
        (
            """
def leashed_rewards(score, log_probs, reference_log_probs, mask, beta):
    rewards = -beta * (log_probs - reference_log_probs) * mask
    rewards[:, -1] = rewards[:, -1] + score
    return rewards
""",
            "in the last column",
        ),
        (
            """
def leashed_rewards(score, log_probs, reference_log_probs, mask, beta):
    rewards = torch.zeros_like(log_probs)
    for row in range(len(score)):
        rewards[row, mask[row].nonzero()[-1, 0]] = score[row]
    return rewards
""",
            "There is no leash",
        ),
        (
            """
def leashed_rewards(score, log_probs, reference_log_probs, mask, beta):
    rewards = -beta * (log_probs - reference_log_probs)
    for row in range(len(score)):
        rewards[row, mask[row].nonzero()[-1, 0]] += score[row]
    return rewards
""",
            "Prompt and padding are penalised",
        ),
        (
            "def leashed_rewards(score, log_probs, reference_log_probs, mask, beta):\n    out = -beta * (log_probs - reference_log_probs) * mask\n    for row in range(len(mask)):\n        out[row, mask[row].nonzero()[-1]] = score[row]\n    return out",
            "replaced the penalty",
        ),
        (
            "def leashed_rewards(score, log_probs, reference_log_probs, mask, beta):\n    out = -beta * (log_probs - reference_log_probs) * mask\n    out[torch.arange(len(mask)), mask.sum(1) - 1] += score\n    return out",
            "counted from the answer's beginning",
        ),
    ],
    "10-gae": [
        (
            """
def advantages_by_gae(rewards, values, mask, gamma, lam):
    values = values * mask
    return (rewards + gamma * F.pad(values[:, 1:], (0, 1)) - values) * mask
""",
            "λ is missing",
        ),
        (
            """
def advantages_by_gae(rewards, values, mask, gamma, lam):
    total, result = 0.0, torch.zeros_like(rewards)
    for t in reversed(range(rewards.size(1))):
        total = (rewards[:, t] + gamma * total) * mask[:, t]
        result[:, t] = total - values[:, t] * mask[:, t]
    return result
""",
            "λ is not used",
        ),
        (
            """
def advantages_by_gae(rewards, values, mask, gamma, lam):
    values = values * mask
    A, result = 0.0, torch.zeros_like(rewards)
    for t in reversed(range(rewards.size(1))):
        after = values[:, t + 1] if t + 1 < rewards.size(1) else 0.0
        A = (rewards[:, t] + gamma * after - values[:, t] + gamma * lam * A) * mask[:, t]
        result[:, t] = A + values[:, t]
    return result
""",
            "These are the returns",
        ),
        (
            """
def advantages_by_gae(rewards, values, mask, gamma, lam):
    values = values * mask
    A, result = 0.0, torch.zeros_like(rewards)
    for t in reversed(range(rewards.size(1))):
        after = values[:, t + 1] if t + 1 < rewards.size(1) else 0.0
        A = (rewards[:, t] + gamma * after - values[:, t] + lam * A) * mask[:, t]
        result[:, t] = A
    return result
""",
            "the γ is missing",
        ),
        (
            """
def advantages_by_gae(rewards, values, mask, gamma, lam):
    A, result = 0.0, torch.zeros_like(rewards)
    for t in reversed(range(rewards.size(1))):
        after = values[:, t + 1] if t + 1 < rewards.size(1) else 0.0
        A = (rewards[:, t] + gamma * after - values[:, t] + gamma * lam * A) * mask[:, t]
        result[:, t] = A
    return result
""",
            "leaks in",
        ),
    ],
    "10-ppo-objective": [
        (
            """
def ppo_loss(log_probs, old_log_probs, advantages, mask, clip):
    ratio = (log_probs - old_log_probs).exp()
    return -torch.max(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)[mask].mean()
""",
            "The larger of the two",
        ),
        (
            "def ppo_loss(log_probs, old_log_probs, advantages, mask, clip):\n    return -((log_probs - old_log_probs).exp() * advantages)[mask].mean()",
            "Nothing is clipped",
        ),
        (
            "def ppo_loss(log_probs, old_log_probs, advantages, mask, clip):\n    return -((log_probs - old_log_probs).exp().clamp(1 - clip, 1 + clip) * advantages)[mask].mean()",
            "Only the clipped term",
        ),
        (
            """
def ppo_loss(log_probs, old_log_probs, advantages, mask, clip):
    ratio = (log_probs - old_log_probs).exp()
    return torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)[mask].mean()
""",
            "The sign",
        ),
        (
            """
def ppo_loss(log_probs, old_log_probs, advantages, mask, clip):
    ratio = (log_probs - old_log_probs).exp()
    return -torch.min(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()
""",
            "Prompt and padding are in the mean",
        ),
        (
            "def ppo_loss(log_probs, old_log_probs, advantages, mask, clip):\n    r = (log_probs - old_log_probs).exp()\n    x = torch.minimum(r * advantages, r.clamp(0.8, 1.2) * advantages)\n    return -(x * mask).sum() / mask.sum()",
            "expected is",
        ),
    ],
    "10-when-to-stop": [
        (
            "def when_to_stop(proxy, gold, kl, budget):\n    return max([i for i in range(len(kl)) if kl[i] <= budget], key=lambda i: proxy[i])",
            "trust the proxy",
        ),
        ("def when_to_stop(proxy, gold, kl, budget):\n    return gold.index(max(gold))", "budget is not kept"),
        (
            "def when_to_stop(proxy, gold, kl, budget):\n    return max(i for i, x in enumerate(kl) if x <= budget)",
            "the last step within",
        ),
        (
            "def when_to_stop(proxy, gold, kl, budget):\n    return max(g for g, x in zip(gold, kl) if x <= budget)",
            "gold score itself",
        ),
        (
            "def when_to_stop(proxy, gold, kl, budget):\n    return min([i for i in range(len(kl)) if kl[i] <= budget], key=lambda i: gold[i])",
            "lowest gold score",
        ),
        (
            "def when_to_stop(proxy, gold, kl, budget):\n    return max([s for s in range(len(kl)) if kl[s] < budget], key=lambda s: gold[s])",
            "expected is",
        ),
        (
            "def when_to_stop(proxy, gold, kl, budget):\n    n = sum(x <= budget for x in kl)\n    return max(range(n), key=lambda s: gold[s])",
            "expected is",
        ),
    ],
    "10-negative-kl": [
        (
            "def repaired_kl(log_probs, reference_log_probs, mask):\n    return ((log_probs - reference_log_probs) * mask).sum(1)",
            "negative for some answers",
        ),
        (
            "def repaired_kl(log_probs, reference_log_probs, mask):\n    return ((log_probs - reference_log_probs).abs() * mask).sum(1)",
            "absolute value",
        ),
        (
            "def repaired_kl(log_probs, reference_log_probs, mask):\n    return F.relu(((log_probs - reference_log_probs) * mask).sum(1))",
            "Cutting off at 0",
        ),
        (
            """
def repaired_kl(log_probs, reference_log_probs, mask):
    log_r = log_probs - reference_log_probs
    return ((log_r.exp() - 1 - log_r) * mask).sum(1)
""",
            "wrong way round",
        ),
        (
            """
def repaired_kl(log_probs, reference_log_probs, mask):
    log_r = reference_log_probs - log_probs
    return (log_r.exp() - 1 - log_r).sum(1)
""",
            "Prompt and padding count",
        ),
    ],
}
