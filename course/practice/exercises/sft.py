"""The exercises of notebook 08: the chat template, whose tokens count, and whether a model knows or remembers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course.practice.exercise import Exercise, Mistake, between, different, whole
from course.sft import Example, SFTBatches, pad_right
from course.train import IGNORE


def chat_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n_question, n_answer, marks in ((3, 2, (1, 2, 3)), (5, 4, (7, 5, 6)), (1, 6, (4, 9, 2))):
        question, answer = different(chance, n_question, 10, 60), different(chance, n_answer, 10, 60)
        user, assistant, end = marks
        yield {"question": question, "answer": answer, "user": user, "assistant": assistant, "end": end}


def wide_chat_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for _ in range(3):
        user, assistant, end = different(chance, 3, 1, 1000)
        question, answer = (different(chance, whole(chance, 1, 20), 1000, 9000) for _ in range(2))
        yield {"question": question, "answer": answer, "user": user, "assistant": assistant, "end": end}


def render_chat(question: list[int], answer: list[int], user: int, assistant: int, end: int) -> list[int]:
    return [user, *question, assistant, *answer, end]


def conversation_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n, n_prompt in ((6, 3), (10, 7), (8, 2)):
        yield {"tokens": different(chance, n, 10, 60), "n_prompt": n_prompt}


def wide_conversation_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n_answer in (1, whole(chance, 2, 20), whole(chance, 2, 40)):
        n_prompt = whole(chance, 2, 30)
        yield {"tokens": different(chance, n_prompt + n_answer, 10, 9000), "n_prompt": n_prompt}


def answer_targets(tokens: list[int], n_prompt: int) -> list[list[int]]:
    inputs, targets = SFTBatches([Example(tuple(tokens), n_prompt)], batch_size=1)[0]
    return [inputs[0].tolist(), targets[0].tolist()]


def logit_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B, T, V in ((1, 5, 6), (3, 6, 9), (2, 8, 5)):
        targets = torch.randint(V, (B, T), generator=chance)
        for row in range(B):  # rows with answers of different lengths
            targets[row, : 1 + (2 * row + 1) % (T - 2)] = IGNORE
        yield {"logits": 2 * torch.randn(B, T, V, generator=chance), "targets": targets}


def wide_logit_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B in (1, whole(chance, 2, 3), whole(chance, 3, 5)):
        T, V = whole(chance, 5, 12), whole(chance, 4, 30)
        targets = torch.randint(V, (B, T), generator=chance)
        for row in range(B):
            targets[row, : whole(chance, 1, T - 1)] = IGNORE
        targets[0, :-2] = IGNORE  # this answer is short, and its padding counts no more than its prompt
        targets[-1, -1] = IGNORE
        yield {"logits": 2 * torch.randn(B, T, V, generator=chance), "targets": targets}


def answer_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)


def each_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="none").view(
        targets.shape
    )


def mean_of_means(logits: Tensor, targets: Tensor) -> Tensor:
    return (each_loss(logits, targets).sum(1) / (targets != IGNORE).sum(1)).mean()


def ignored_as_zero(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.clamp(min=0).flatten())


def row_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for lengths, pad in (((3, 5), 0), ((4, 1, 6), 7), ((2, 7, 3), 3)):
        yield {"rows": [different(chance, n, 10, 60) for n in lengths], "pad": pad}


def wide_row_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for longest_at in (0, 1, -1):
        lengths = [whole(chance, 1, 12) for _ in range(3 + whole(chance, 0, 3))]
        lengths[longest_at] = max(lengths) + whole(chance, 1, 9)
        pad = whole(chance, 1, 999)
        yield {"rows": [different(chance, n, 1000, 9000) for n in lengths], "pad": pad}


def padded(rows: list[list[int]], pad: int) -> Tensor:
    return pad_right(rows, pad)


def padded_left(rows: list[list[int]], pad: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([[pad] * (longest - len(row)) + row for row in rows])


def stop_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for sizes in ([(2, 2), (3, 4)], [(4, 1), (2, 5), (3, 3)], [(1, 6), (5, 1)]):
        yield some_conversations(chance, sizes, end=3)


def wide_stop_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for B in (2, whole(chance, 2, 4), whole(chance, 3, 6)):
        sizes = [(whole(chance, 1, 9), whole(chance, 1, 9)) for _ in range(B)]
        sizes[whole(chance, 0, B - 1)] = (whole(chance, 5, 9), whole(chance, 10, 14))  # the others are padded
        yield some_conversations(chance, sizes, whole(chance, 1, 9))


def some_conversations(chance: torch.Generator, sizes: list[tuple[int, int]], end: int) -> dict[str, Any]:
    """sizes: of each prompt and its answer."""
    rows = [[*different(chance, n_prompt + n_answer, 10, 60), end] for n_prompt, n_answer in sizes]
    return {
        "tokens": pad_right(rows, end),
        "n_prompt": [n_prompt for n_prompt, _ in sizes],
        "lengths": [len(row) for row in rows],
        "end": end,
    }


def repaired_targets(
    tokens: Tensor, n_prompt: list[int], lengths: list[int], end: int, stop: int = 0, prompt: int = 0
) -> Tensor:
    targets = tokens.clone()
    for row, (first, length) in enumerate(zip(n_prompt, lengths, strict=True)):
        targets[row, : first + prompt] = IGNORE
        targets[row, length - stop :] = IGNORE
    return targets[:, 1:]


def with_the_bug(tokens: Tensor, n_prompt: list[int], lengths: list[int], end: int) -> Tensor:
    targets = repaired_targets(tokens, n_prompt, lengths, end)
    return targets.masked_fill(targets == end, IGNORE)


def padding_counts(tokens: Tensor, n_prompt: list[int], lengths: list[int], end: int) -> Tensor:
    return repaired_targets(tokens, n_prompt, [tokens.size(1)] * len(tokens), end)


def prompt_counts(tokens: Tensor, n_prompt: list[int], lengths: list[int], end: int) -> Tensor:
    return repaired_targets(tokens, [0] * len(tokens), lengths, end)


def not_shifted(tokens: Tensor, n_prompt: list[int], lengths: list[int], end: int) -> Tensor:
    targets = tokens.clone()
    for row, (first, length) in enumerate(zip(n_prompt, lengths, strict=True)):
        targets[row, :first] = IGNORE
        targets[row, length:] = IGNORE
    return targets


def knowledge_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n, m, a, b in ((40, 60, 0.95, 0.2), (90, 30, 0.8, 0.7), (50, 80, 0.9, 0.85)):
        yield some_questions(chance, n, m, a, b)


def wide_knowledge_cases(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for low, high in ((0.2, 0.4), (0.4, 0.8), (0.7, 0.9)):
        n, m = whole(chance, 40, 70), whole(chance, 20, 35)
        case = some_questions(chance, n, m, between(chance, 0.8, 0.98), between(chance, low, high))
        first = (True, low < 0.5)  # right, and seen or not: whoever leaves out the first or the last is found out
        last = (True, not first[1])
        questions = list(zip(case["right"], case["seen"], strict=True))
        questions.remove(first)
        questions.remove(last)
        right, seen = zip(first, *questions, last, strict=True)
        yield {"right": list(right), "seen": list(seen)}


def some_questions(chance: torch.Generator, n: int, m: int, a: float, b: float) -> dict[str, Any]:
    """n that were seen, about a share `a` of them right, and m others, about `b` of them right."""
    right, seen = [], []
    for count, share, is_seen in ((n, a, True), (m, b, False)):
        k = round(count * share) - int(torch.randint(0, 4, (), generator=chance))
        right += [True] * k + [False] * (count - k)
        seen += [is_seen] * count
    order = torch.randperm(n + m, generator=chance).tolist()
    return {"right": [right[i] for i in order], "seen": [seen[i] for i in order]}


def knows_or_remembers(
    right: list[bool], seen: list[bool], pooled: bool = True, root: bool = True, swapped: bool = False
) -> list[float]:
    groups = [[r for r, s in zip(right, seen, strict=True) if s == wanted] for wanted in (True, False)]
    if swapped:
        groups.reverse()
    (n, m), (p, q) = map(len, groups), (sum(group) / len(group) for group in groups)
    both = sum(right) / len(right)
    variance = both * (1 - both) * (1 / n + 1 / m) if pooled else p * (1 - p) / n + q * (1 - q) / m
    return [p, q, (p - q) / (math.sqrt(variance) if root else variance)]


def shares_of_all(right: list[bool], seen: list[bool]) -> list[float]:
    p, q, z = knows_or_remembers(right, seen)
    return [p * sum(seen) / len(seen), q * (len(seen) - sum(seen)) / len(seen), z]


EXERCISES = (
    Exercise(
        id="08-chat-template",
        title="Who is speaking",
        entry="render_chat",
        points=1,
        level="warm-up",
        minutes=5,
        hints=(
            "Write the conversation as on the stage: the asker's mark, the question, the answerer's mark, the answer.",
            "And the curtain: without the mark for the end the model never learns to stop.",
            "[user, *question, assistant, *answer, end]",
        ),
        cases=chat_cases,
        wide=wide_chat_cases,
        reference=render_chat,
        mistakes=(
            Mistake("The end mark is missing: the model would never learn to stop.", lambda **c: render_chat(**c)[:-1]),
            Mistake(
                "The assistant's mark is missing: nothing says where the question ends and the answer begins.",
                lambda question, answer, user, assistant, end: [user, *question, *answer, end],
            ),
            Mistake(
                "The end mark stands after the question, too; there is one, after the answer.",
                lambda question, answer, user, assistant, end: [user, *question, end, assistant, *answer, end],
            ),
            Mistake(
                "The marks stand behind what is said; each speaker's mark comes first.",
                lambda question, answer, user, assistant, end: [*question, user, *answer, assistant, end],
            ),
            Mistake(
                "The roles are exchanged: the user asks, the assistant answers.",
                lambda question, answer, user, assistant, end: [assistant, *question, user, *answer, end],
            ),
        ),
    ),
    Exercise(
        id="08-loss-mask",
        title="Learn to answer, not to ask",
        entry="answer_targets",
        points=3,
        level="medium",
        minutes=15,
        hints=(
            "First make inputs and targets as in pretraining: the targets are one token later.",
            "A target counts if it is a token of the answer: if its place in `tokens` is n_prompt or more. The first "
            "target that counts stands under the last token of the prompt, the assistant's mark.",
            "targets = [-100] * (n_prompt - 1) + tokens[n_prompt:]",
        ),
        cases=conversation_cases,
        wide=wide_conversation_cases,
        reference=answer_targets,
        mistakes=(
            Mistake(
                "All tokens count: then half of what is learned is to ask questions.",
                lambda tokens, n_prompt: [tokens[:-1], tokens[1:]],
            ),
            Mistake(
                "One too many is masked: the answer's first token must count; the prompt's last one predicts it.",
                lambda tokens, n_prompt: [tokens[:-1], [IGNORE] * n_prompt + tokens[n_prompt + 1 :]],
            ),
            Mistake(
                "One too few is masked: the prompt's last token counts, but it is given, not said by the assistant.",
                lambda tokens, n_prompt: [tokens[:-1], [IGNORE] * (n_prompt - 2) + tokens[n_prompt - 1 :]],
            ),
            Mistake(
                "The targets are not shifted: each position must predict the next token.",
                lambda tokens, n_prompt: [tokens[:-1], ([IGNORE] * n_prompt + tokens[n_prompt:])[:-1]],
            ),
            Mistake(
                "The mask is the wrong way round: the question counts, and the answer does not.",
                lambda tokens, n_prompt: [tokens[:-1], tokens[1:n_prompt] + [IGNORE] * (len(tokens) - n_prompt)],
            ),
        ),
    ),
    Exercise(
        id="08-answer-loss",
        title="The loss over the answers",
        entry="answer_loss",
        points=2,
        level="medium",
        minutes=10,
        hints=(
            "−100 is no token: leave these places out of the sum, and out of what you divide by.",
            "F.cross_entropy knows how: it has an argument ignore_index, and takes logits of shape (N, V).",
            "F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100)",
        ),
        cases=logit_cases,
        wide=wide_logit_cases,
        reference=answer_loss,
        mistakes=(
            Mistake(
                "You divide by all positions; divide by those that count.",
                lambda logits, targets: each_loss(logits, targets).mean(),
            ),
            Mistake(
                "Each answer has the same weight here, so tokens of short ones weigh more; all must weigh the same.",
                mean_of_means,
            ),
            Mistake("Places with −100 count as if token 0 were right; leave them out.", ignored_as_zero),
            Mistake(
                "This is the sum; the mean can be compared between batches.",
                lambda logits, targets: each_loss(logits, targets).sum(),
            ),
            Mistake(
                "The sign: a loss falls when the right tokens become likelier.",
                lambda logits, targets: -answer_loss(logits, targets),
            ),
        ),
    ),
    Exercise(
        id="08-padding",
        title="Rows of different lengths",
        entry="pad_batch",
        points=2,
        level="warm-up",
        minutes=10,
        hints=(
            "Find the longest row; the others get `pad` until they are as long.",
            "Behind, not in front: with a causal mask no token looks at what stands behind it.",
            "torch.tensor([row + [pad] * (longest - len(row)) for row in rows])",
        ),
        cases=row_cases,
        wide=wide_row_cases,
        reference=padded,
        mistakes=(
            Mistake("The padding is always 0 here; use the id `pad` that is given.", lambda rows, pad: padded(rows, 0)),
            Mistake("The padding stands in front; then tokens have other positions. Put it behind.", padded_left),
            Mistake(
                "The rows are cut to the shortest: the ends of the others, their answers, are lost.",
                lambda rows, pad: torch.tensor([row[: min(map(len, rows))] for row in rows]),
            ),
            Mistake(
                "There is one column of padding too many: the longest row needs none.",
                lambda rows, pad: F.pad(padded(rows, pad), (0, 1), value=pad),
            ),
            Mistake("This is a list of lists; a tensor is asked for.", lambda rows, pad: padded(rows, pad).tolist()),
            Mistake(
                "The batch lies on its side: each conversation is a row, (B, T).", lambda rows, pad: padded(rows, pad).T
            ),
        ),
    ),
    Exercise(
        id="08-never-stops",
        title="A bug: the answers are right, and never end",
        entry="repaired_targets",
        points=3,
        level="hard",
        minutes=20,
        hints=(
            "Which token should the model say last, and does it ever count in the loss?",
            "Padding and end have the same id here, so `targets == end` finds both. What tells them apart is the "
            "place: each row's own tokens are the first `lengths[row]`.",
            "For each row: targets[row, :n_prompt[row]] = -100, targets[row, lengths[row]:] = -100; shift at the end.",
        ),
        cases=stop_cases,
        wide=wide_stop_cases,
        reference=repaired_targets,
        mistakes=(
            Mistake("The end mark still does not count: it was masked together with the padding.", with_the_bug),
            Mistake("The padding counts: the model learns to say nothing but the end mark.", padding_counts),
            Mistake("The prompt counts: mask its tokens, too.", prompt_counts),
            Mistake("The targets are not shifted: return targets[:, 1:].", not_shifted),
            Mistake(
                "The answer's first token is masked; it must count.",
                lambda **case: repaired_targets(**case, prompt=1),
            ),
        ),
    ),
    Exercise(
        id="08-knows-or-remembers",
        title="Does it know, or does it remember?",
        entry="knows_or_remembers",
        points=3,
        level="medium",
        minutes=15,
        hints=(
            "Two groups: questions about countries that were in the demonstrations (seen), and the others. The share "
            "of right answers in each comes first.",
            "If both shares were equal, their difference would still differ from 0 by chance, by about "
            "√(p (1 − p) (1/n + 1/m)), where p is the share of right answers in both groups together.",
            "[share seen, share held out, (share seen − share held out) / that root]",
        ),
        cases=knowledge_cases,
        wide=wide_knowledge_cases,
        reference=knows_or_remembers,
        mistakes=(
            Mistake("The groups are exchanged: seen first.", lambda **c: knows_or_remembers(**c, swapped=True)),
            Mistake(
                "The root is missing: divide by the standard error, not by its square.",
                lambda **c: knows_or_remembers(**c, root=False),
            ),
            Mistake(
                "You take each group's own p for the error; without a difference there is one p: of both together.",
                lambda **c: knows_or_remembers(**c, pooled=False),
            ),
            Mistake("Each share is of its own group, not of all questions.", shares_of_all),
            Mistake(
                "The third number is the bare difference; divide it by the standard error.",
                lambda right, seen: [*(s := knows_or_remembers(right, seen)[:2]), s[0] - s[1]],
            ),
        ),
    ),
)
