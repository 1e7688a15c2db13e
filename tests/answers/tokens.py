"""Answers to the exercises of notebook 01, as learners write them (see `attention.py`)."""

RIGHT = {
    "01-most-frequent-pair": [
        """
def most_frequent_pair(ids):
    counts = {}
    for pair in zip(ids, ids[1:]):
        counts[pair] = counts.get(pair, 0) + 1
    top = max(counts.values())
    return list(min(pair for pair in counts if counts[pair] == top))
""",
        """
def most_frequent_pair(ids):
    pairs = sorted(zip(ids[:-1], ids[1:]))
    best, best_count = None, 0
    for pair in pairs:
        n = pairs.count(pair)
        if n > best_count:
            best, best_count = pair, n
    return best
""",
    ],
    "01-merge": [
        """
def merge_pair(ids, pair, new):
    out, i = [], 0
    while i < len(ids):
        if ids[i : i + 2] == list(pair):
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out
""",
        """
def merge_pair(ids, pair, new):
    out = []
    for token in ids:
        if out and out[-1] == pair[0] and token == pair[1]:
            out[-1] = new
        else:
            out.append(token)
    return out
""",
    ],
    "01-learn-merges": [
        """
def learn_merges(text, n_merges):
    ids, merges = list(text.encode("utf-8")), []
    for number in range(n_merges):
        if len(ids) < 2:
            break
        pair = most_frequent_pair(ids)
        if sum(list(p) == list(pair) for p in zip(ids, ids[1:])) < 2:
            break
        ids = merge_pair(ids, list(pair), 256 + number)
        merges.append(list(pair))
    return merges
""",
        """
def learn_merges(text, n_merges):
    from collections import Counter
    ids, merges = [byte for byte in text.encode()], []
    while len(merges) < n_merges:
        counts = Counter(zip(ids, ids[1:]))
        counts = {pair: n for pair, n in counts.items() if n > 1}
        if not counts:
            return merges
        a, b = sorted(counts, key=lambda pair: (-counts[pair], pair))[0]
        new, i, out = 256 + len(merges), 0, []
        while i < len(ids):
            if i + 1 < len(ids) and ids[i] == a and ids[i + 1] == b:
                out.append(new)
                i += 1
            else:
                out.append(ids[i])
            i += 1
        ids = out
        merges.append((a, b))
    return merges
""",
    ],
    "01-encode": [
        """
def encode_with_merges(text, merges):
    ids = list(text.encode())
    for number, pair in enumerate(merges):
        ids = merge_pair(ids, pair, 256 + number)
    return ids
""",
        """
def encode_with_merges(text, merges):
    rank = {tuple(pair): number for number, pair in enumerate(merges)}
    ids = list(text.encode())
    while True:
        known = [(rank[pair], i) for i, pair in enumerate(zip(ids, ids[1:])) if pair in rank]
        if not known:
            return ids
        number, i = min(known)
        ids[i : i + 2] = [256 + number]
""",
    ],
    "01-broken-characters": [
        """
def repaired_decode(ids, merges):
    spelled = [bytes([i]) for i in range(256)]
    for a, b in merges:
        spelled.append(spelled[a] + spelled[b])
    return b"".join(spelled[i] for i in ids).decode("utf-8")
""",
        """
def repaired_decode(ids, merges):
    ids = list(ids)
    for number in range(len(merges) - 1, -1, -1):
        out = []
        for i in ids:
            out.extend(merges[number] if i == 256 + number else [i])
        ids = out
    return str(bytes(ids), "utf-8")
""",
    ],
    "01-bytes-per-token": [
        "def bytes_per_token(texts, n_tokens):\n    return len(''.join(texts).encode()) / sum(n_tokens)",
        """
def bytes_per_token(texts, n_tokens):
    total = 0
    for text in texts:
        total += len(bytes(text, "utf-8"))
    return total / torch.tensor(n_tokens).sum().item()
""",
    ],
}

_MERGE = """
def merged(ids, pair, new):
    out, i = [], 0
    while i < len(ids):
        if ids[i : i + 2] == list(pair):
            out.append(new)
            i += 2
        else:
            out.append(ids[i])
            i += 1
    return out
"""

WRONG = {
    "01-most-frequent-pair": [
        (
            "def most_frequent_pair(ids):\n    from collections import Counter\n    return list(Counter(zip(ids, ids[1:])).most_common(1)[0][0])",
            "the one seen first",
        ),
        (
            "def most_frequent_pair(ids):\n    from collections import Counter\n    c = Counter(zip(ids, ids[1:]))\n    return list(max(c, key=lambda p: (c[p], p)))",
            "the largest ids",
        ),
        (
            "def most_frequent_pair(ids):\n    from collections import Counter\n    c = Counter(zip(ids, ids[1:]))\n    return list(min(c, key=lambda p: (c[p], p)))",
            "rarest pair",
        ),
        (
            "def most_frequent_pair(ids):\n    from collections import Counter\n    c = Counter(ids)\n    return sorted(c, key=lambda t: (-c[t], t))[:2]",
            "two most frequent tokens",
        ),
        (
            "def most_frequent_pair(ids):\n    from collections import Counter\n    c = Counter(zip(ids, ids[1:]))\n    a, b = min(c, key=lambda p: (-c[p], p))\n    return [b, a]",
            "wrong way round",
        ),
        (
            "def most_frequent_pair(ids):\n    from collections import Counter\n    c = Counter(zip(ids, ids[1:]))\n    return list(min(c, key=lambda p: (-c[p], p[0])))",
            "expected is",
        ),
        (
            "def most_frequent_pair(ids):\n    counts, i = {}, 0\n    while i < len(ids) - 1:\n        pair = (ids[i], ids[i + 1])\n        counts[pair] = counts.get(pair, 0) + 1\n        i += 2 if ids[i : i + 3] == [ids[i]] * 3 else 1\n    return list(min(counts, key=lambda p: (-counts[p], p)))",
            "expected is",
        ),
    ],
    "01-merge": [
        (
            """
def merge_pair(ids, pair, new):
    for i in range(len(ids) - 1):
        if ids[i : i + 2] == pair:
            return ids[:i] + [new] + ids[i + 2 :]
    return ids
""",
            "Only the first place",
        ),
        (
            """
def merge_pair(ids, pair, new):
    out, i = [], len(ids) - 1
    while i >= 0:
        if i > 0 and ids[i - 1 : i + 1] == pair:
            out.insert(0, new)
            i -= 2
        else:
            out.insert(0, ids[i])
            i -= 1
    return out
""",
            "from right to left",
        ),
        (
            """
def merge_pair(ids, pair, new):
    starts = {i for i in range(len(ids) - 1) if ids[i : i + 2] == pair}
    out = []
    for i, token in enumerate(ids):
        if i in starts:
            out.append(new)
        elif i - 1 not in starts:
            out.append(token)
    return out
""",
            "overlap",
        ),
        (
            "def merge_pair(ids, pair, new):\n    return [new if ids[i : i + 2] == pair else ids[i] for i in range(len(ids))]",
            "second token is still there",
        ),
        (
            "def merge_pair(ids, pair, new):\n    i = 0\n    while ids[i : i + 2] != pair:\n        i += 1\n    ids[i : i + 2] = [new]\n    return ids",
            "Only the first place",
        ),
        (
            "def merge_pair(ids, pair, new):\n    out, i = [], 0\n    while i < len(ids):\n        if i + 2 < len(ids) and ids[i : i + 2] == pair:\n            out.append(new)\n            i += 2\n        else:\n            out.append(ids[i])\n            i += 1\n    return out",
            "expected",
        ),
    ],
    "01-learn-merges": [
        (
            """
def learn_merges(text, n_merges):
    from collections import Counter
    counts = Counter(zip(text.encode(), text.encode()[1:]))
    best = sorted((p for p in counts if counts[p] > 1), key=lambda p: (-counts[p], p))
    return [list(p) for p in best[:n_merges]]
""",
            "counted once",
        ),
        (
            """
def learn_merges(text, n_merges):
    ids, merges = [ord(c) for c in text], []
    while len(merges) < n_merges and len(ids) > 1:
        pair = list(most_frequent_pair(ids))
        if sum(list(p) == pair for p in zip(ids, ids[1:])) < 2:
            break
        ids = merge_pair(ids, pair, 256 + len(merges))
        merges.append(pair)
    return merges
""",
            "begin with bytes",
        ),
        (
            """
def learn_merges(text, n_merges):
    ids, merges = list(text.encode()), []
    while len(merges) < n_merges and len(ids) > 1:
        pair = list(most_frequent_pair(ids))
        ids = merge_pair(ids, pair, 256 + len(merges))
        merges.append(pair)
    return merges
""",
            "saves nothing",
        ),
        (
            """
def learn_merges(text, n_merges):
    ids, merges = list(text.encode()), []
    while len(merges) < n_merges and len(ids) > 1:
        pair = list(most_frequent_pair(ids))
        if sum(list(p) == pair for p in zip(ids, ids[1:])) < 2:
            break
        merges.append(pair)
        ids = merge_pair(ids, pair, 256 + len(merges))
    return merges
""",
            "not 257",
        ),
        (
            "def learn_merges(text, n_merges):\n    from collections import Counter\n    ids, learned = list(text.encode()), []\n    for n in range(n_merges):\n        counts = Counter(zip(ids, ids[1:]))\n        pair = min(counts, key=lambda p: (-counts[p], p))\n        out, i = [], 0\n        while i < len(ids):\n            if ids[i : i + 2] == pair:\n                out.append(256 + n)\n                i += 2\n            else:\n                out.append(ids[i])\n                i += 1\n        ids = out\n        learned.append(list(pair))\n    return learned",
            "Nothing was merged",
        ),
    ],
    "01-encode": [
        (
            _MERGE
            + """
def encode_with_merges(text, merges):
    ids = list(text.encode())
    for number in reversed(range(len(merges))):
        ids = merged(ids, merges[number], 256 + number)
    return ids
""",
            "newest merge comes first",
        ),
        (
            """
def encode_with_merges(text, merges):
    spelled = [bytes([i]) for i in range(256)]
    for a, b in merges:
        spelled.append(spelled[a] + spelled[b])
    raw, ids = text.encode(), []
    while raw:
        i = max((i for i in range(len(spelled)) if raw.startswith(spelled[i])), key=lambda i: len(spelled[i]))
        ids.append(i)
        raw = raw[len(spelled[i]) :]
    return ids
""",
            "order of learning decides",
        ),
        (
            """
def encode_with_merges(text, merges):
    ids = list(text.encode())
    for number, pair in enumerate(merges):
        for i in range(len(ids) - 1):
            if ids[i : i + 2] == pair:
                ids[i : i + 2] = [256 + number]
                break
    return ids
""",
            "in one place only",
        ),
        ("def encode_with_merges(text, merges):\n    return list(text.encode())", "Nothing is merged"),
    ],
    "01-broken-characters": [
        (
            """
def repaired_decode(ids, merges):
    spelled = [bytes([i]) for i in range(256)]
    for a, b in merges:
        spelled.append(spelled[a] + spelled[b])
    return "".join(spelled[i].decode("utf-8", errors="replace") for i in ids)
""",
            "Still the same bug",
        ),
        (
            """
def repaired_decode(ids, merges):
    spelled = [bytes([i]) for i in range(256)]
    for a, b in merges:
        spelled.append(spelled[a] + spelled[b])
    return "".join(spelled[i].decode("utf-8", "ignore") for i in ids)
""",
            "half characters are dropped",
        ),
        (
            """
def repaired_decode(ids, merges):
    spelled = [bytes([i]) for i in range(256)]
    for a, b in merges:
        spelled.append(spelled[a] + spelled[b])
    return b"".join(spelled[i] for i in ids).decode("latin-1")
""",
            "latin-1",
        ),
        (
            """
def repaired_decode(ids, merges):
    raw = []
    for i in ids:
        raw += [i] if i < 256 else [p for p in merges[i - 256] if p < 256]
    return bytes(raw).decode("utf-8", "replace")
""",
            "spell their parts in turn",
        ),
    ],
    "01-bytes-per-token": [
        (
            "def bytes_per_token(texts, n_tokens):\n    return sum(len(t) for t in texts) / sum(n_tokens)",
            "You count characters",
        ),
        (
            "def bytes_per_token(texts, n_tokens):\n    return sum(len(t.encode()) / n for t, n in zip(texts, n_tokens)) / len(texts)",
            "mean of the texts' ratios",
        ),
        (
            "def bytes_per_token(texts, n_tokens):\n    return sum(n_tokens) / sum(len(t.encode()) for t in texts)",
            "tokens per byte",
        ),
        (
            "def bytes_per_token(texts, n_tokens):\n    return sum(len(t.encode()) for t in texts) / len(n_tokens)",
            "number of texts",
        ),
    ],
}
