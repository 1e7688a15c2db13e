"""Answers to the exercises of notebook 11, as learners write them (see `attention.py`)."""

RIGHT = {
    "11-dpo-loss": [
        """
def dpo_loss(chosen, rejected, chosen_reference, rejected_reference, beta):
    better = beta * (chosen - chosen_reference)
    worse = beta * (rejected - rejected_reference)
    return -torch.sigmoid(better - worse).log().mean()
""",
        """
def dpo_loss(chosen, rejected, chosen_reference, rejected_reference, beta):
    gap = (chosen - rejected) - (chosen_reference - rejected_reference)
    return F.softplus(-beta * gap).sum() / len(gap)
""",
    ],
    "11-answer-log-probs": [
        """
def answer_log_probs(logits, tokens, mask):
    log_probs = logits[:, :-1].log_softmax(dim=-1)
    picked = log_probs.gather(2, tokens[:, 1:].unsqueeze(2)).squeeze(2)
    return torch.where(mask[:, 1:], picked, 0.0).sum(dim=1)
""",
        """
def answer_log_probs(logits, tokens, mask):
    result = torch.zeros(len(tokens))
    for row in range(len(tokens)):
        for t in mask[row].nonzero()[:, 0].tolist():
            before = logits[row, t - 1]
            result[row] += before[tokens[row, t]] - torch.logsumexp(before, 0)
    return result
""",
    ],
    "11-best-of-n": [
        """
def best_of_n(probs, rewards, n):
    result = torch.zeros_like(probs)
    for i in range(len(probs)):
        at_most = probs[rewards <= rewards[i]].sum()
        worse = probs[rewards < rewards[i]].sum()
        result[i] = at_most**n - worse**n
    return result
""",
        """
def best_of_n(probs, rewards, n):
    order = rewards.argsort()
    up_to = probs[order].cumsum(0) ** n
    sorted_best = torch.diff(up_to, prepend=torch.zeros(1))
    return sorted_best[order.argsort()]
""",
    ],
    "11-group-advantages": [
        """
def group_advantages(rewards, tries):
    groups = rewards.view(-1, tries)
    gaps = groups - groups.mean(1, keepdim=True)
    return (gaps / (groups.std(1, keepdim=True) + 1e-4)).flatten()
""",
        """
def group_advantages(rewards, tries):
    result = torch.zeros_like(rewards)
    for start in range(0, len(rewards), tries):
        group = rewards[start : start + tries]
        result[start : start + tries] = (group - group.mean()) / (group.std() + 1e-4)
    return result
""",
    ],
    "11-grpo-loss": [
        """
def grpo_loss(log_probs, old_log_probs, advantages, mask, clip):
    ratio = (log_probs - old_log_probs).exp()
    A = advantages[:, None]
    gain = torch.minimum(ratio * A, ratio.clamp(1 - clip, 1 + clip) * A)
    return -((gain * mask).sum(dim=1) / mask.sum(dim=1)).mean()
""",
        """
def grpo_loss(log_probs, old_log_probs, advantages, mask, clip):
    losses = []
    for row in range(len(mask)):
        ratio = torch.exp(log_probs[row] - old_log_probs[row])[mask[row]]
        if advantages[row] > 0:
            ratio = ratio.clamp(max=1 + clip)
        else:
            ratio = ratio.clamp(min=1 - clip)
        losses.append(-(ratio * advantages[row]).mean())
    return torch.stack(losses).mean()
""",
    ],
    "11-pass-at-k": [
        "def pass_at_k(n, right, k):\n    return 1 - math.comb(n - right, k) / math.comb(n, k)",
        """
def pass_at_k(n, right, k):
    none = 1.0
    for i in range(k):
        none *= max(0, n - right - i) / (n - i)
    return 1 - none
""",
    ],
}

WRONG = {
    "11-dpo-loss": [
        (
            """
def dpo_loss(chosen, rejected, chosen_reference, rejected_reference, beta):
    gap = (rejected - rejected_reference) - (chosen - chosen_reference)
    return -F.logsigmoid(beta * gap).mean()
""",
            "prefers the rejected answer",
        ),
        (
            "def dpo_loss(chosen, rejected, chosen_reference, rejected_reference, beta):\n    return -F.logsigmoid(beta * (chosen - rejected)).mean()",
            "The reference is missing",
        ),
        (
            """
def dpo_loss(chosen, rejected, chosen_reference, rejected_reference, beta):
    return -F.logsigmoid(chosen - chosen_reference - rejected + rejected_reference).mean()
""",
            "β is missing",
        ),
        (
            """
def dpo_loss(chosen, rejected, chosen_reference, rejected_reference, beta):
    gap = (chosen - chosen_reference) - (rejected - rejected_reference)
    return -torch.sigmoid(beta * gap).mean()
""",
            "logarithm is missing",
        ),
        (
            """
def dpo_loss(chosen, rejected, chosen_reference, rejected_reference, beta):
    gap = (chosen - chosen_reference) - (rejected - rejected_reference)
    return -F.logsigmoid(beta * gap).sum()
""",
            "the sum over the pairs",
        ),
    ],
    "11-answer-log-probs": [
        (
            """
def answer_log_probs(logits, tokens, mask):
    picked = logits.log_softmax(-1).gather(2, tokens[..., None])[..., 0]
    return (picked * mask).sum(1)
""",
            "do not predict it",
        ),
        (
            """
def answer_log_probs(logits, tokens, mask):
    picked = logits[:, :-1].gather(2, tokens[:, 1:, None])[..., 0]
    return (picked * mask[:, 1:]).sum(1)
""",
            "These are logits",
        ),
        (
            """
def answer_log_probs(logits, tokens, mask):
    picked = logits[:, :-1].log_softmax(-1).gather(2, tokens[:, 1:, None])[..., 0]
    return picked.sum(1)
""",
            "Prompt and padding count too",
        ),
        (
            """
def answer_log_probs(logits, tokens, mask):
    picked = logits[:, :-1].log_softmax(-1).gather(2, tokens[:, 1:, None])[..., 0]
    return (picked * mask[:, :-1]).sum(1)
""",
            "off by one",
        ),
        (
            """
def answer_log_probs(logits, tokens, mask):
    picked = logits[:, :-1].log_softmax(-1).gather(2, tokens[:, 1:, None])[..., 0]
    return (picked * mask[:, 1:]).sum(1) / mask[:, 1:].sum(1)
""",
            "the mean per token",
        ),
    ],
    "11-best-of-n": [
        (
            """
def best_of_n(probs, rewards, n):
    order = rewards.argsort()
    up_to = probs[order].cumsum(0)
    return up_to**n - (up_to - probs[order]) ** n
""",
            "in the order of the rewards",
        ),
        (
            """
def best_of_n(probs, rewards, n):
    at_least = torch.stack([probs[rewards >= r].sum() for r in rewards])
    return at_least**n - (at_least - probs) ** n
""",
            "the worst of n",
        ),
        (
            "def best_of_n(probs, rewards, n):\n    return torch.stack([probs[rewards <= r].sum() for r in rewards]) ** n",
            "at most so good",
        ),
        ("def best_of_n(probs, rewards, n):\n    return 1 - (1 - probs) ** n", "among the n"),
        ("def best_of_n(probs, rewards, n):\n    return probs**n / (probs**n).sum()", "where are the rewards"),
    ],
    "11-group-advantages": [
        (
            "def group_advantages(rewards, tries):\n    return (rewards - rewards.mean()) / (rewards.std() + 1e-4)",
            "compared with the whole batch",
        ),
        (
            """
def group_advantages(rewards, tries):
    groups = rewards.view(tries, -1)
    return ((groups - groups.mean(0)) / (groups.std(0) + 1e-4)).flatten()
""",
            "one behind the other",
        ),
        (
            """
def group_advantages(rewards, tries):
    groups = rewards.view(-1, tries)
    return (groups - groups.mean(1, keepdim=True)).flatten()
""",
            "deviation is missing",
        ),
        (
            """
def group_advantages(rewards, tries):
    groups = rewards.view(-1, tries)
    return ((groups - groups.mean(1, keepdim=True)) / (groups.var(1, keepdim=True) + 1e-4)).flatten()
""",
            "divides by the variance",
        ),
        (
            """
def group_advantages(rewards, tries):
    groups = rewards.view(-1, tries)
    return ((groups - groups.mean(1, keepdim=True)) / (rewards.std() + 1e-4)).flatten()
""",
            "each group has its own",
        ),
    ],
    "11-grpo-loss": [
        (
            """
def grpo_loss(log_probs, old_log_probs, advantages, mask, clip):
    ratio, A = (log_probs - old_log_probs).exp(), advantages[:, None]
    return -torch.minimum(ratio * A, ratio.clamp(1 - clip, 1 + clip) * A)[mask].mean()
""",
            "count alike here",
        ),
        (
            """
def grpo_loss(log_probs, old_log_probs, advantages, mask, clip):
    ratio, A = (log_probs - old_log_probs).exp(), advantages[:, None]
    gain = torch.minimum(ratio * A, ratio.clamp(1 - clip, 1 + clip) * A)
    return -(gain * mask).sum(1).mean()
""",
            "tokens are summed up",
        ),
        (
            """
def grpo_loss(log_probs, old_log_probs, advantages, mask, clip):
    gain = (log_probs - old_log_probs).exp() * advantages[:, None]
    return -((gain * mask).sum(1) / mask.sum(1)).mean()
""",
            "Nothing is clipped",
        ),
        (
            """
def grpo_loss(log_probs, old_log_probs, advantages, mask, clip):
    gain = (log_probs - old_log_probs).exp().clamp(1 - clip, 1 + clip) * advantages[:, None]
    return -((gain * mask).sum(1) / mask.sum(1)).mean()
""",
            "Only the clipped term",
        ),
        (
            """
def grpo_loss(log_probs, old_log_probs, advantages, mask, clip):
    ratio, A = (log_probs - old_log_probs).exp(), advantages[:, None]
    gain = torch.minimum(ratio * A, ratio.clamp(1 - clip, 1 + clip) * A)
    return ((gain * mask).sum(1) / mask.sum(1)).mean()
""",
            "The sign",
        ),
    ],
    "11-pass-at-k": [
        ("def pass_at_k(n, right, k):\n    return 1 - (1 - right / n) ** k", "with replacement"),
        ("def pass_at_k(n, right, k):\n    return right / n", "a single try"),
        (
            "def pass_at_k(n, right, k):\n    return math.comb(n - right, k) / math.comb(n, k)",
            "none of the k is right",
        ),
        ("def pass_at_k(n, right, k):\n    return math.comb(right, k) / math.comb(n, k)", "all k are right"),
        ("def pass_at_k(n, right, k):\n    return min(1.0, k * right / n)", "do not add up"),
    ],
}
