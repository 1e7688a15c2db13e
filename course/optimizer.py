"""Optimisers: how far, and in which direction, a gradient moves the weights.

AdamW gives each number a step of its own. A matrix is more than its numbers, though: it turns one space into another,
and its gradient pushes hard along a few directions and hardly along all others. Muon makes the push equally strong
along all of them, and so learns from half as many steps what is said rarely.
Loshchilov and Hutter 2017, "Decoupled Weight Decay Regularization", arXiv:1711.05101 (AdamW);
Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", kellerjordan.github.io/posts/muon.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from course.runtime import mixed_precision

A, B, C = 3.4445, -4.7750, 2.0315  # Jordan's polynomial: steep at 0, so that five rounds are enough
ROUNDS = 5


def orthogonalise(x: Tensor, rounds: int = ROUNDS) -> Tensor:
    """Nearly U Vᵀ of each x = U S Vᵀ: the directions stay, their strengths all become about 1 (0.7 to 1.2).

    x: (..., m, n), in any precision. Newton-Schulz: s → a s + b s³ + c s⁵ on every singular value s, by products alone.
    """
    if x.size(-2) > x.size(-1):  # the products should be of the small side
        return orthogonalise(x.mT, rounds).mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)  # no singular value is above 1 now
    for _ in range(rounds):
        gram = x @ x.mT  # (..., m, m)
        x = A * x + (B * gram + C * gram @ gram) @ x
    return x


def orthogonalise_all(matrices: Sequence[Tensor], rounds: int = ROUNDS) -> list[Tensor]:
    """`orthogonalise` for many matrices (m, n) with few products: all that have the same small side go together.

    x @ x.mT of the next round is P gram P, where P = a + b gram + c gram²: so the rounds need the small squares only,
    and x is multiplied once, by all P. In float32: rounding in bfloat16 would grow from round to round.
    """
    wide = [x if x.size(0) <= x.size(1) else x.mT for x in matrices]
    wide = [x / x.norm().clamp_min(1e-7) for x in wide]
    found: dict[int, Tensor] = {}
    for places in places_by(x.size(0) for x in wide).values():
        gram = torch.stack([wide[i] @ wide[i].mT for i in places])  # (N, m, m)
        product: Tensor | None = None
        for number in range(rounds):
            polynomial = torch.baddbmm(gram, gram, gram, beta=B, alpha=C)
            polynomial.diagonal(dim1=-2, dim2=-1).add_(A)
            product = polynomial if product is None else polynomial @ product
            if number < rounds - 1:
                gram = polynomial @ gram @ polynomial
        assert product is not None
        found |= {i: part @ wide[i] for i, part in zip(places, product, strict=True)}
    return [found[i] if x.size(0) <= x.size(1) else found[i].mT for i, x in enumerate(matrices)]


def places_by(keys: Iterable[Any]) -> Mapping[Any, list[int]]:
    """The places of each key: places_by("aba") = {"a": [0, 2], "b": [1]}."""
    places = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return places


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: every step moves a matrix equally far along all of its directions.

        m ← μ m + (1 - μ) g        w ← w - η λ w - η √max(1, rows/columns) · orthogonalise((1 - μ) g + μ m)

    precision: of the orthogonalisation; None for bfloat16 where the hardware multiplies it, else float32.
    Equal to `torch.optim.Muon` with adjust_lr_fn="original", within the rounding of bfloat16; that one takes the
    matrices one by one, and always in bfloat16. Raises ValueError for what is not a matrix.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.1,
        precision: torch.dtype | None = None,
    ):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))
        self.precision = precision
        for weight in (weight for group in self.param_groups for weight in group["params"]):
            if weight.dim() != 2:
                raise ValueError(f"Muon is for matrices, and a weight has the shape {tuple(weight.shape)}; use AdamW.")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move all matrices that have a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            pushes = []
            for weight in weights:
                if weight not in self.state:
                    self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
                average = self.state[weight]["momentum_buffer"]
                average.lerp_(weight.grad, 1 - group["momentum"])
                pushes.append(weight.grad.lerp(average, group["momentum"]))  # Nesterov: as if one step further
            for weight, push in zip(weights, self._orthogonal(pushes), strict=True):
                rows, columns = weight.shape
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(push, alpha=group["lr"] * max(1.0, rows / columns) ** 0.5)

    def _orthogonal(self, pushes: Sequence[Tensor]) -> Sequence[Tensor]:
        if not pushes:
            return []
        if (self.precision or mixed_precision(pushes[0].device)) == torch.float32:
            return orthogonalise_all([push.float() for push in pushes])
        found: dict[int, Tensor] = {}
        for places in places_by(push.shape for push in pushes).values():  # equal shapes in one product
            stacked = orthogonalise(torch.stack([pushes[i] for i in places]).bfloat16())
            found |= dict(zip(places, stacked, strict=True))
        return [found[i].to(push.dtype) for i, push in enumerate(pushes)]


class Together(torch.optim.Optimizer):
    """Several optimisers, each for weights of its own, as one: one step, one list of groups, one state."""

    def __init__(self, *parts: torch.optim.Optimizer):
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Let the parts read and write the groups and the state of the whole."""
        groups = iter(self.param_groups)
        for part in self.parts:
            part.param_groups = [next(groups) for _ in part.param_groups]
            part.state = self.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's; the parts then share what was loaded."""
        super().load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """A step of each."""
        for part in self.parts:
            part.step()


def adamw(
    weights: Iterable[Tensor], learning_rate: float, weight_decay: float, betas: tuple[float, float] = (0.9, 0.95)
) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices; none on biases, norms and other vectors."""
    weights = list(weights)
    groups = [
        {"params": [w for w in weights if w.dim() > 1], "weight_decay": weight_decay, "scale": 1.0},
        {"params": [w for w in weights if w.dim() <= 1], "weight_decay": 0.0, "scale": 1.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=True)


def muon(
    model: nn.Module,
    learning_rate: float,
    matrix_rate: float,
    weight_decay: float,
    betas: tuple[float, float] = (0.9, 0.95),
) -> Together:
    """Muon with `matrix_rate` for the matrices of the model's blocks; AdamW for embeddings, head, norms and biases.

    What is learned about a token stands in a row of an embedding, and rows are looked up, not multiplied: no matrix in
    Muon's sense. The blocks are what stands in an `nn.ModuleList`. Raises ValueError for a model that has none.
    """
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    inside = {weight for stack in stacks for weight in stack.parameters() if weight.dim() == 2}
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    matrices, others = [w for w in weights if w in inside], [w for w in weights if w not in inside]
    if not matrices:
        raise ValueError(f"A {type(model).__name__} has no blocks with matrices for Muon; train it with AdamW.")
    group = {"params": matrices, "scale": matrix_rate / learning_rate}
    return Together(
        Muon([group], matrix_rate, weight_decay=weight_decay), adamw(others, learning_rate, weight_decay, betas)
    )


def set_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set AdamW's rate for the next step; Muon's rises and falls with it."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["scale"]
