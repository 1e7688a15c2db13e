"""Answers to the exercises of notebook 06, as learners write them: right ones, and typical wrong ones.

RIGHT: id -> sources, each by another way. WRONG: id -> (source, part of the sentence that it must be told).
"""

RIGHT = {
    "06-what-came-next": [
        """
def what_came_next(row):
    *before, last = row
    if last not in before:
        return None
    return row[len(before) - before[::-1].index(last)]
""",
        """
def what_came_next(row):
    answer = None
    for token, after in zip(row, row[1:]):
        if token == row[-1]:
            answer = after
    return answer
""",
    ],
    "06-after-earlier": [
        """
def after_earlier(tokens):
    T = len(tokens)
    mask = torch.zeros(T, T, dtype=torch.bool)
    for t in range(T):
        for s in range(1, t + 1):
            mask[t, s] = tokens[s - 1] == tokens[t]
    return mask
""",
        """
def after_earlier(tokens):
    same = (tokens[:, None] == tokens[None, :]).tril(-1)
    return F.pad(same, (1, 0))[:, :-1]
""",
    ],
    "06-prefix-score": [
        """
def prefix_score(weights, tokens):
    found = []
    for t in range(len(tokens)):
        places = [s for s in range(1, t + 1) if tokens[s - 1] == tokens[t]]
        if places:
            found.append(sum(weights[t, s].item() for s in places))
    return sum(found) / len(found)
""",
        """
def prefix_score(weights, tokens):
    places = after_earlier(tokens)
    return ((weights * places).sum() / places.any(dim=1).sum()).item()
""",
    ],
    "06-mix-heads": [
        """
def mix_heads(results, w_out, quiet):
    T, H, d_head = results.shape
    mixed = torch.zeros(T, w_out.shape[1])
    for head in range(H):
        if head not in quiet:
            mixed = mixed + results[:, head] @ w_out[head * d_head : (head + 1) * d_head]
    return mixed
""",
        """
def mix_heads(results, w_out, quiet):
    loud = torch.tensor([float(head not in quiet) for head in range(results.shape[1])])
    return torch.einsum("thd,hde->te", results * loud[:, None], w_out.view(*results.shape[1:], -1))
""",
    ],
    "06-few-shot": [
        """
def repaired_prompt(pairs, asked, shots):
    text, told = "", 0
    for name, word in pairs:
        if name != asked and told < shots:
            text += f"{name}: {word}. "
            told += 1
    return text + asked + ":"
""",
        """
def repaired_prompt(pairs, asked, shots):
    others = [pair for pair in pairs if pair[0] != asked]
    return "".join(": ".join(pair) + ". " for pair in others[:shots]) + f"{asked}:"
""",
    ],
    "06-two-heads": [
        """
def shares_copied(embedding, tokens, sharpness):
    T, x, shares = len(tokens), embedding[tokens], []
    for beta in sharpness:
        right = count = 0
        for t in range(T - 1):
            if tokens[t] not in tokens[:t]:
                continue
            before = torch.stack([torch.zeros_like(x[0])] + [x[s - 1] for s in range(1, t + 1)])
            weights = (beta * before @ x[t]).softmax(0)
            guess = (embedding @ (weights @ x[: t + 1])).argmax()
            right, count = right + int(guess == tokens[t + 1]), count + 1
        shares.append(right / count)
    return shares
""",
        """
def shares_copied(embedding, tokens, sharpness):
    x = embedding[tokens]
    before = F.pad(x, (0, 0, 1, 0))[:-1]
    again = after_earlier(tokens).any(1)[:-1]
    forbidden = torch.full((len(x), len(x)), -torch.inf).triu(1)
    found = []
    for beta in sharpness:
        weights = F.softmax(beta * x @ before.T + forbidden, dim=1)
        guesses = (weights @ x @ embedding.T).argmax(1)[:-1]
        found.append((guesses == tokens[1:])[again].float().mean().item())
    return found
""",
    ],
}

WRONG = {
    "06-what-came-next": [
        (
            """
def what_came_next(row):
    return row[row.index(row[-1]) + 1] if row[-1] in row[:-1] else None
""",
            "the last time counts",
        ),
        (
            """
def what_came_next(row):
    for place in reversed(range(len(row))):
        if row[place] == row[-1]:
            return row[place + 1]
""",
            "raised IndexError",
        ),
        (
            """
def what_came_next(row):
    for place in reversed(range(len(row) - 1)):
        if row[place] == row[-1]:
            return row[place - 1]
""",
            "what came before it",
        ),
        (
            """
def what_came_next(row):
    for place in reversed(range(len(row) - 1)):
        if row[place] == row[-1]:
            return place + 1
""",
            "a place in the row",
        ),
        (
            """
def what_came_next(row):
    for place in reversed(range(len(row) - 1)):
        if row[place] == row[-1]:
            return row[place + 1]
    return -1
""",
            "another type",
        ),
    ],
    "06-after-earlier": [
        (
            """
def after_earlier(tokens):
    return (tokens[:, None] == tokens[None, :]).tril()
""",
            "places of the token itself",
        ),
        (
            """
def after_earlier(tokens):
    return (tokens[:, None] == tokens.roll(1)[None, :]).tril()
""",
            "roll goes round",
        ),
        (
            """
def after_earlier(tokens):
    mask = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
    mask[:, 1:] = tokens[:, None] == tokens[:-1]
    return mask
""",
            "in the future",
        ),
        (
            """
def after_earlier(tokens):
    mask = torch.zeros(len(tokens), len(tokens), dtype=torch.bool)
    mask[:, 1:] = tokens[:, None] == tokens[:-1]
    return mask.tril(-1)
""",
            "The diagonal belongs to it",
        ),
        (
            """
def after_earlier(tokens):
    mask = torch.zeros(len(tokens), len(tokens))
    mask[:, 1:] = (tokens[:, None] == tokens[:-1]).float()
    return mask.tril()
""",
            "another dtype",
        ),
    ],
    "06-prefix-score": [
        (
            """
def prefix_score(weights, tokens):
    return (weights * after_earlier(tokens)).sum(1).mean().item()
""",
            "not over all",
        ),
        (
            """
def prefix_score(weights, tokens):
    return weights[after_earlier(tokens)].mean().item()
""",
            "Sum over the places of one position first",
        ),
        (
            """
def prefix_score(weights, tokens):
    return (weights * after_earlier(tokens)).sum().item()
""",
            "This is a sum",
        ),
        (
            """
def prefix_score(weights, tokens):
    places = after_earlier(tokens)
    return (weights * places).sum(1)[places.any(1)]
""",
            "another type",
        ),
        (
            """
def prefix_score(weights, tokens):
    places = after_earlier(tokens)
    return (weights * places).max(1).values[places.any(1)].mean().item()
""",
            "the largest alone",
        ),
    ],
    "06-mix-heads": [
        (
            """
def mix_heads(results, w_out, quiet):
    return results.flatten(1) @ w_out
""",
            "No head is silenced",
        ),
        (
            """
def mix_heads(results, w_out, quiet):
    return results[:, quiet].flatten(1) @ w_out
""",
            "raised RuntimeError",
        ),
        (
            """
def mix_heads(results, w_out, quiet):
    kept = torch.zeros_like(results)
    kept[:, quiet] = results[:, quiet]
    return kept.flatten(1) @ w_out
""",
            "not the others",
        ),
        (
            """
def mix_heads(results, w_out, quiet):
    results = results.clone()
    results[:, quiet] = 0
    return results.transpose(1, 2).flatten(1) @ w_out
""",
            "side by side",
        ),
        (
            """
def mix_heads(results, w_out, quiet):
    results = results.clone()
    results[quiet] = 0
    return results.flatten(1) @ w_out
""",
            "another value",
        ),
        (
            """
def mix_heads(results, w_out, quiet):  # right, but a plain 0 where all are silent
    d_head, mixed = results.shape[2], 0
    for head in range(results.shape[1]):
        if head not in quiet:
            mixed = mixed + results[:, head] @ w_out[head * d_head : (head + 1) * d_head]
    return mixed
""",
            "another type",
        ),
    ],
    "06-few-shot": [
        (
            """
def repaired_prompt(pairs, asked, shots):
    return ". ".join([f"{a}: {b}" for a, b in pairs[:shots]] + [asked + ":"])
""",
            "The bug is still there",
        ),
        (
            """
def repaired_prompt(pairs, asked, shots):
    return ". ".join([f"{a}: {b}" for a, b in pairs[:shots] if a != asked] + [asked + ":"])
""",
            "One shot is missing",
        ),
        (
            """
def repaired_prompt(pairs, asked, shots):
    others = [f"{a}: {b}" for a, b in pairs if a != asked]
    return ". ".join(others[:shots] + [asked + ": "])
""",
            "ends with a space",
        ),
        (
            """
def repaired_prompt(pairs, asked, shots):
    others = [f"{a}: {b}" for a, b in pairs if a != asked]
    return ". ".join(others + [asked + ":"])
""",
            "another value",
        ),
    ],
    "06-two-heads": [
        (
            """
def shares_copied(embedding, tokens, sharpness):
    x = embedding[tokens]
    again = after_earlier(tokens).any(1)[:-1]
    mask = torch.ones(len(x), len(x), dtype=torch.bool).tril()
    found = []
    for beta in sharpness:
        weights = (beta * x @ x.T).masked_fill(~mask, -torch.inf).softmax(1)
        found.append(((weights @ x @ embedding.T).argmax(1)[:-1] == tokens[1:])[again].float().mean().item())
    return found
""",
            "looks for the token itself",
        ),
        (
            """
def shares_copied(embedding, tokens, sharpness):
    x = embedding[tokens]
    before = F.pad(x, (0, 0, 1, 0))[:-1]
    again = after_earlier(tokens).any(1)[:-1]
    found = []
    for beta in sharpness:
        weights = (beta * x @ before.T).softmax(1)
        found.append(((weights @ x @ embedding.T).argmax(1)[:-1] == tokens[1:])[again].float().mean().item())
    return found
""",
            "causal mask is missing",
        ),
        (
            """
def shares_copied(embedding, tokens, sharpness):
    x = embedding[tokens]
    before = F.pad(x, (0, 0, 1, 0))[:-1]
    mask = torch.ones(len(x), len(x), dtype=torch.bool).tril()
    found = []
    for beta in sharpness:
        weights = (beta * x @ before.T).masked_fill(~mask, -torch.inf).softmax(1)
        found.append(((weights @ x @ embedding.T).argmax(1)[:-1] == tokens[1:]).float().mean().item())
    return found
""",
            "All positions are judged",
        ),
        (
            """
def shares_copied(embedding, tokens, sharpness):
    x = embedding[tokens]
    before = F.pad(x, (0, 0, 1, 0))[:-1]
    again = after_earlier(tokens).any(1)[:-1]
    mask = torch.ones(len(x), len(x), dtype=torch.bool).tril()
    found = []
    for beta in sharpness:
        scores = beta * x @ before.T / math.sqrt(x.shape[1])
        weights = scores.masked_fill(~mask, -torch.inf).softmax(1)
        found.append(((weights @ x @ embedding.T).argmax(1)[:-1] == tokens[1:])[again].float().mean().item())
    return found
""",
            "divided by √D",
        ),
    ],
}
