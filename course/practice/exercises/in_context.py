"""The exercises of notebook 06: induction by hand, its score, silent heads, a prompt, an experiment with two heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from course import induction as library
from course.practice.exercise import Exercise, Mistake, between, different, whole

Row = list[int]


# --- what came next -------------------------------------------------------------------------------------------------


def some_rows(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    a, b, c, d = different(chance, 4, 0, 100)
    yield {"row": [a, b, c, a]}
    yield {"row": [a, b, a, c, d, a]}
    yield {"row": [a, b, c, d]}
    yield {"row": [b, a, a]}


def wide_rows(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    ids = different(chance, whole(chance, 8, 40), 0, 1_000_000)
    cut = whole(chance, 2, len(ids) - 3)
    yield {"row": [*ids, ids[cut]]}
    yield {"row": [*ids, ids[cut], ids[0], ids[-1], ids[cut]]}  # it stood there twice
    yield {"row": ids}
    yield {"row": [*ids, ids[-1]]}
    yield {"row": [ids[0], *ids[3:], ids[0]]}


def what_came_next(row: Row) -> int | None:
    for place in reversed(range(len(row) - 1)):
        if row[place] == row[-1]:
            return row[place + 1]
    return None


def what_came_first(row: Row) -> int | None:
    place = row.index(row[-1])
    return row[place + 1] if place < len(row) - 1 else None


def what_came_before(row: Row) -> int | None:
    places = [i for i in range(len(row) - 1) if row[i] == row[-1]]
    return row[places[-1] - 1] if places else None


def the_token_itself(row: Row) -> int | None:
    return row[-1] if row[-1] in row[:-1] else None


def where_it_stands(row: Row) -> int | None:
    places = [i for i in range(len(row) - 1) if row[i] == row[-1]]
    return places[-1] + 1 if places else None


# --- where an induction head looks ----------------------------------------------------------------------------------


def some_tokens(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    a, b, c, d = different(chance, 4, 0, 50)
    yield {"tokens": torch.tensor([a, b, a])}
    yield {"tokens": torch.tensor([a, b, c, d, a, b, a])}
    yield {"tokens": torch.tensor([c, c, d, c])}


def wide_tokens(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for T, kinds in ((whole(chance, 5, 12), 3), (whole(chance, 12, 30), 8), (whole(chance, 20, 40), 4)):
        yield {"tokens": tokens_of(chance, T, kinds)}
    yield {"tokens": torch.tensor(different(chance, whole(chance, 3, 9), 0, 50))}  # nothing comes twice
    yield {"tokens": tokens_of(chance, whole(chance, 4, 9), 1)}


def tokens_of(chance: torch.Generator, T: int, kinds: int) -> Tensor:
    """T tokens of so many kinds."""
    return torch.tensor(different(chance, kinds, 0, 1000))[torch.randint(kinds, (T,), generator=chance)]


def after_earlier(tokens: Tensor) -> Tensor:
    return library.after_earlier(tokens[None])[0]


def the_same_token(tokens: Tensor) -> Tensor:
    return (tokens[:, None] == tokens).tril()


def with_the_future(tokens: Tensor) -> Tensor:
    mask = tokens[:, None] == tokens.roll(1)
    mask[:, 0] = False
    return mask


def rolled(tokens: Tensor) -> Tensor:
    return (tokens[:, None] == tokens.roll(1)).tril()


def the_token_before(tokens: Tensor) -> Tensor:
    return (tokens[:, None] == tokens.roll(-1)).tril(-2)


def without_itself(tokens: Tensor) -> Tensor:
    return after_earlier(tokens).tril(-1)


# --- the prefix score -----------------------------------------------------------------------------------------------


def some_patterns(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    a, b, c = different(chance, 3, 0, 50)
    for row in ([a, b, a], [a, b, c, a, b], [a, b, a, c, a, b, b]):
        yield {"weights": pattern(chance, len(row)), "tokens": torch.tensor(row)}


def wide_patterns(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for T, kinds in ((whole(chance, 6, 12), 2), (whole(chance, 12, 24), 6), (whole(chance, 24, 40), 12)):
        yield {"weights": pattern(chance, T), "tokens": tokens_of(chance, T, kinds)}
    rows, _ = library.repeated(1, 30, (7, 13), 50, chance)
    yield {"weights": pattern(chance, 30), "tokens": rows[0]}


def pattern(chance: torch.Generator, T: int) -> Tensor:
    """Attention weights (T, T), causal, each row summing to 1."""
    scores = 2 * torch.randn(T, T, generator=chance)
    return scores.masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(), -torch.inf).softmax(-1)


def prefix_score(weights: Tensor, tokens: Tensor) -> float:
    return float(library.prefix_score(weights[None, None, None], tokens[None]).item())


def over_all_positions(weights: Tensor, tokens: Tensor) -> float:
    return float((weights * after_earlier(tokens)).sum() / len(tokens))


def over_all_places(weights: Tensor, tokens: Tensor) -> float:
    return float(weights[after_earlier(tokens)].mean())


def not_averaged(weights: Tensor, tokens: Tensor) -> float:
    return float((weights * after_earlier(tokens)).sum())


def at_the_token(weights: Tensor, tokens: Tensor) -> float:
    again = after_earlier(tokens).any(1)
    return float((weights * (tokens[:, None] == tokens).tril(-1)).sum(1)[again].mean())


def the_largest(weights: Tensor, tokens: Tensor) -> float:
    places = after_earlier(tokens)
    return float((weights * places).amax(1)[places.any(1)].mean())


# --- silent heads ---------------------------------------------------------------------------------------------------


def some_heads(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for T, H, d_head, quiet in ((2, 2, 3, [1]), (3, 4, 2, [0, 2]), (2, 3, 4, []), (2, 2, 2, [0, 1])):
        yield head_case(chance, T, H, d_head, quiet)


def wide_heads(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n in (0, 1, 2, 3):
        H = whole(chance, n + 2, 7)
        yield head_case(chance, whole(chance, 1, 9), H, whole(chance, 2, 8), different(chance, n, 0, H))
    H = whole(chance, 2, 7)
    yield head_case(chance, whole(chance, 2, 9), H, whole(chance, 2, 8), different(chance, H, 0, H))  # all are silent
    quiet, wider = [whole(chance, 0, H - 1)], whole(chance, 1, 9)
    yield head_case(chance, whole(chance, 2, 9), H, whole(chance, 2, 8), quiet, wider)  # D is not H · d_head


def head_case(chance: torch.Generator, T: int, H: int, d_head: int, quiet: list[int], wider: int = 0) -> dict[str, Any]:
    """Heads, and a matrix that mixes them into a stream, `wider` than they are together."""
    return {
        "results": torch.randn(T, H, d_head, generator=chance),
        "w_out": torch.randn(H * d_head, H * d_head + wider, generator=chance),
        "quiet": quiet,
    }


def mix_heads(results: Tensor, w_out: Tensor, quiet: Sequence[int]) -> Tensor:
    results = results.clone()
    results[:, list(quiet)] = 0.0
    return results.flatten(1) @ w_out


def all_but_these(results: Tensor, w_out: Tensor, quiet: Sequence[int]) -> Tensor:
    return mix_heads(results, w_out, [head for head in range(results.size(1)) if head not in quiet])


def scaled_up(results: Tensor, w_out: Tensor, quiet: Sequence[int]) -> Tensor:
    return mix_heads(results, w_out, quiet) * results.size(1) / (results.size(1) - len(quiet))


def silenced_at_the_end(results: Tensor, w_out: Tensor, quiet: Sequence[int]) -> Tensor:
    mixed = (results.flatten(1) @ w_out).unflatten(1, results.shape[1:])
    mixed[:, list(quiet)] = 0.0
    return mixed.flatten(1)


def in_another_order(results: Tensor, w_out: Tensor, quiet: Sequence[int]) -> Tensor:
    results = results.clone()
    results[:, list(quiet)] = 0.0
    return results.transpose(1, 2).flatten(1) @ w_out


def the_mean_instead(results: Tensor, w_out: Tensor, quiet: Sequence[int]) -> Tensor:
    results = results.clone()
    results[:, list(quiet)] = results.mean(0)[list(quiet)]
    return results.flatten(1) @ w_out


# --- a prompt that gives the answer away ----------------------------------------------------------------------------

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def name(chance: torch.Generator) -> str:
    """A word of five letters."""
    return "".join(LETTERS[i] for i in torch.randint(26, (5,), generator=chance).tolist()).capitalize()


def some_prompts(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for n, asked, shots in ((3, 2, 2), (4, 0, 2), (5, 1, 3)):
        yield prompt_case(chance, n, asked, shots)


def wide_prompts(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    yield prompt_case(chance, n := whole(chance, 4, 9), n - 1, whole(chance, 1, 3))  # behind all shots
    yield prompt_case(chance, whole(chance, 6, 9), 0, whole(chance, 2, 4))
    yield prompt_case(chance, n := whole(chance, 6, 9), whole(chance, 1, 2), n - 1)  # all others are shots
    yield prompt_case(chance, whole(chance, 4, 9), whole(chance, 0, 2), 0)


def prompt_case(chance: torch.Generator, n: int, asked: int, shots: int) -> dict[str, Any]:
    pairs = [[name(chance), name(chance)] for _ in range(n)]
    return {"pairs": pairs, "asked": pairs[asked][0], "shots": shots}


def few_shot(pairs: Sequence[Sequence[str]], asked: str, shots: int) -> str:
    fit = [f"{a}: {b}" for a, b in pairs if a != asked]
    return ". ".join([*fit[:shots], f"{asked}:"])


def gives_it_away(pairs: Sequence[Sequence[str]], asked: str, shots: int) -> str:
    return ". ".join([*(f"{a}: {b}" for a, b in pairs[:shots]), f"{asked}:"])


def one_too_few(pairs: Sequence[Sequence[str]], asked: str, shots: int) -> str:
    return ". ".join([*(f"{a}: {b}" for a, b in pairs[:shots] if a != asked), f"{asked}:"])


def answered(pairs: Sequence[Sequence[str]], asked: str, shots: int) -> str:
    return f"{few_shot(pairs, asked, shots)} {next(b for a, b in pairs if a == asked)}"


def with_a_space(pairs: Sequence[Sequence[str]], asked: str, shots: int) -> str:
    return few_shot(pairs, asked, shots) + " "


# --- an experiment: two heads ---------------------------------------------------------------------------------------


def some_circuits(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for T, width, sharpness in ((24, 16, [0.0, 1.0, 10.0]), (30, 8, [0.5, 2.0]), (40, 12, [0.3, 3.0])):
        yield circuit_case(chance, T, width, sharpness)


def wide_circuits(chance: torch.Generator) -> Iterator[dict[str, Any]]:
    for low, high in ((0.1, 0.6), (0.4, 1.2), (1.0, 3.0), (2.0, 8.0)):
        sharpness = [between(chance, low, high) for _ in range(3)]
        yield circuit_case(chance, whole(chance, 40, 80), whole(chance, 6, 12), sharpness)


def circuit_case(chance: torch.Generator, T: int, width: int, sharpness: list[float]) -> dict[str, Any]:
    """Two rows that repeat, one behind the other: of the same tokens, in another order, so that the future misleads."""
    half = T // 2
    rows, _ = library.repeated(2, half, (half // 3, half // 2), 24, chance)
    return {"embedding": torch.randn(24, width, generator=chance), "tokens": rows.flatten(), "sharpness": sharpness}


def shares_copied(
    embedding: Tensor, tokens: Tensor, sharpness: Sequence[float], back: int = 1, future: bool = False, early: int = 0
) -> list[float]:
    x = embedding[tokens]  # (T, D)
    before = torch.cat((torch.zeros(back, x.size(1)), x[: len(x) - back]))  # what the previous-token head writes
    again = after_earlier(tokens).any(1)[:-1] | (torch.arange(len(tokens) - 1) < early)
    shares = []
    for beta in sharpness:
        scores = beta * x @ before.T  # (T, T): how much s's "before" is like t
        if not future:
            scores = scores.masked_fill(~torch.ones_like(scores, dtype=torch.bool).tril(), -torch.inf)
        copied = scores.softmax(-1) @ x
        right = (copied @ embedding.T).argmax(-1)[:-1] == tokens[1:]
        shares.append(right[again].double().mean().item())
    return shares


EXERCISES = (
    Exercise(
        id="06-what-came-next",
        title="What came next, the last time?",
        entry="what_came_next",
        points=1,
        level="warm-up",
        minutes=5,
        hints=(
            "Go back from the last place but one. Where does the same token stand as at the end?",
            "for place in reversed(range(len(row) - 1)): compare row[place] with row[-1].",
            "At the first place that fits: return row[place + 1]. After the loop: return None.",
        ),
        cases=some_rows,
        wide=wide_rows,
        reference=what_came_next,
        mistakes=(
            Mistake("It came several times: the last time counts, not the first.", what_came_first),
            Mistake("This is what came before it; what came after it is asked for.", what_came_before),
            Mistake("This is the token itself; the one behind its last appearance is asked for.", the_token_itself),
            Mistake("This is a place in the row; the token that stands there is asked for.", where_it_stands),
        ),
    ),
    Exercise(
        id="06-after-earlier",
        title="Where an induction head looks",
        entry="after_earlier",
        points=2,
        level="medium",
        minutes=15,
        hints=(
            "Compare two rows of tokens in a table: the tokens as they are, and the tokens moved by one place.",
            "The first column has nothing before it: it is False everywhere. And no position sees the future: s ≤ t.",
            "mask[:, 1:] = tokens[:, None] == tokens[:-1]; then keep the lower triangle, with the diagonal.",
        ),
        cases=some_tokens,
        wide=wide_tokens,
        reference=after_earlier,
        mistakes=(
            Mistake("These are the places of the token itself; the head looks one place behind.", the_same_token),
            Mistake("A place with s > t is in the future: keep the lower triangle.", with_the_future),
            Mistake(
                "The first column compares with the last token (roll goes round): nothing stands before it.", rolled
            ),
            Mistake("These are the places before the token; the head looks behind it.", the_token_before),
            Mistake(
                "The diagonal belongs to it: where a token comes twice in a row, s = t is behind the first one.",
                without_itself,
            ),
            Mistake("The table lies on its side: row t is who looks.", lambda tokens: after_earlier(tokens).T),
        ),
    ),
    Exercise(
        id="06-prefix-score",
        title="The prefix score",
        entry="prefix_score",
        points=2,
        level="medium",
        minutes=10,
        hints=(
            "Your after_earlier says which weights count. Sum them for each position that asks.",
            "Not every position can look back: average over those whose row in the table has a True.",
            "places = after_earlier(tokens); (weights * places).sum(1)[places.any(1)].mean().item()",
        ),
        cases=some_patterns,
        wide=wide_patterns,
        reference=prefix_score,
        uses=("06-after-earlier",),
        mistakes=(
            Mistake("The mean goes over positions whose token was there before, not over all.", over_all_positions),
            Mistake("Sum over the places of one position first; then take the mean over positions.", over_all_places),
            Mistake("This is a sum; divide it by the number of positions that can look back.", not_averaged),
            Mistake("You measure how much the head looks at the token itself, not behind it.", at_the_token),
            Mistake("Sum the weights of all places that fit; the largest alone is too little.", the_largest),
        ),
    ),
    Exercise(
        id="06-mix-heads",
        title="Heads that keep silent",
        entry="mix_heads",
        points=2,
        level="medium",
        minutes=15,
        hints=(
            "The results stand side by side before w_out mixes them. When can you still tell the heads apart?",
            "Copy the results, set those of the quiet heads to 0, and only then flatten and multiply.",
            "results = results.clone(); results[:, quiet] = 0; results.flatten(1) @ w_out",
        ),
        cases=some_heads,
        wide=wide_heads,
        reference=mix_heads,
        mistakes=(
            Mistake(
                "No head is silenced: set the results of the quiet ones to 0.",
                lambda **c: mix_heads(**c | {"quiet": []}),
            ),
            Mistake("The wrong ones are silent: those in `quiet` are to be, not the others.", all_but_these),
            Mistake("The others become louder. In dropout one does that; here only the quiet ones change.", scaled_up),
            Mistake("After w_out the heads are mixed: silence them before.", silenced_at_the_end),
            Mistake("The numbers of one head belong side by side: flatten without a transpose.", in_another_order),
            Mistake("The quiet heads say their mean; they should add nothing, 0.", the_mean_instead),
        ),
    ),
    Exercise(
        id="06-few-shot",
        title="A bug: the prompt knows the answer",
        entry="repaired_prompt",
        points=2,
        level="medium",
        minutes=10,
        hints=(
            "Ask for a name that is among the first pairs, and read the prompt.",
            "The asked pair must not be among the shots, and there must be `shots` of them all the same.",
            "Leave the asked pair out first: [pair for pair in pairs if pair[0] != asked][:shots]",
        ),
        cases=some_prompts,
        wide=wide_prompts,
        reference=few_shot,
        mistakes=(
            Mistake("The bug is still there: the answer stands among the shots.", gives_it_away),
            Mistake("One shot is missing: leave the asked pair out first, and count then.", one_too_few),
            Mistake("The prompt must end with the colon: the answer is for the model to say.", answered),
            Mistake("The prompt ends with a space: the model's tokens begin with one, so it must not.", with_a_space),
        ),
    ),
    Exercise(
        id="06-two-heads",
        title="An experiment: how sharply must it look?",
        entry="shares_copied",
        points=4,
        level="hard",
        minutes=30,
        hints=(
            "First x = embedding[tokens], (T, D). The previous-token head writes to each position the x of the one "
            "before; the first position has zeros.",
            "The induction head: scores = beta * x @ before.T, the causal mask, softmax; then the weighted mean of x, "
            "compared with all embeddings. The largest of copied @ embedding.T is the prediction.",
            "Judge the positions whose token was there before, without the last one: right[again].double().mean(). "
            "after_earlier(tokens).any(1)[:-1] says which they are.",
        ),
        cases=some_circuits,
        wide=wide_circuits,
        reference=shares_copied,
        uses=("06-after-earlier",),
        mistakes=(
            Mistake(
                "The head looks for the token itself: compare with what stood one place before.",
                lambda **c: shares_copied(**c, back=0),
            ),
            Mistake(
                "The causal mask is missing: it copies from the future.", lambda **c: shares_copied(**c, future=True)
            ),
            Mistake(
                "All positions are judged; only those count whose token was there before.",
                lambda **c: shares_copied(**c, early=10_000),
            ),
            Mistake(
                "It looks two places back; the token before is one place back.", lambda **c: shares_copied(**c, back=2)
            ),
            Mistake(
                "The scores are divided by √D here; the sharpness is given, and nothing else scales them.",
                lambda embedding, tokens, sharpness: shares_copied(
                    embedding, tokens, [beta / embedding.size(1) ** 0.5 for beta in sharpness]
                ),
            ),
        ),
    ),
)
