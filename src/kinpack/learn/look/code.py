"""The product code of `look` as it is trained: form and tone through books, and drawn again.

```
 form (n, 64) ─▶ − mean, · directions ─▶ nearest words of 12 books ─┐
 tone (n, 48) ─▶ − mean, · directions ─▶ nearest words of 4 books ──┴─▶ Placeholder ─▶ 16×16 pixels
```
It is the PQ-VAE of the paper: what is drawn of the words teaches directions, books and form alike.
A word is taken whole, and its gradient is that of a softmax over all words of its book.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinpack.describers.describer import PLACEHOLDER
from kinpack.describers.given_vectors import COMPONENTS, principal_components
from kinpack.describers.product_books import learn_books
from kinpack.learn.look.networks import LUMA, SIDE, FormNetwork

BOOKS, TONE_BOOKS, WORDS = 16, 4, 16
"""Books of a code, how many of them are of tone, and words of each."""
SOFTNESS = 0.5
"""Of the softmax of words, in mean squared distances of the nearest ones."""
_INNER = 256
_RUN = 512  # pictures at a time


class Books(nn.Module):
    """Directions that are kept of latents, and the books that quantise them.

    Args:
        latents: (n, E), to begin with: by principal components, and k-means.
        books: how many.
        seed: of k-means.
    """

    mean: Tensor

    def __init__(self, latents: NDArray[np.float32], books: int, *, seed: int = 0) -> None:
        super().__init__()
        mean, directions = principal_components(latents, books)
        learned = learn_books((latents - mean) @ directions, M=books, K=WORDS, seed=seed)
        self.register_buffer("mean", torch.from_numpy(mean))
        self.directions = nn.Parameter(torch.from_numpy(directions))
        self.words = nn.Parameter(torch.tensor(learned.codebooks))

    def kept(self, latents: Tensor) -> Tensor:
        """Map latents (n, E) to (n, M · d)."""
        return (latents - self.mean) @ self.directions

    def forward(self, kept: Tensor, softness: float) -> Tensor:
        """The nearest words (n, M · d) of vectors (n, M · d).

        Args:
            kept: the vectors.
            softness: of the softmax that gradients are those of, in mean squared distances of the
                nearest words; nearly 0 lets the nearest word alone learn.
        """
        parts = kept.unflatten(1, self.words.shape[::2])  # type: ignore[no-untyped-call]
        far = (parts[:, :, None] - self.words).square().sum(3)
        near, nearest = far.min(2)
        taken = self.words[torch.arange(len(self.words)), nearest]
        shares = torch.softmax(-far / (softness * near.detach().mean() + 1e-12), 2)
        mixed = torch.einsum("nmk,mkd->nmd", shares, self.words)
        return (taken.detach() + mixed - mixed.detach()).flatten(1)

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Mean (E,), directions (E, M · d) and words (M, K, d)."""
        parts = (self.mean, self.directions.detach(), self.words.detach())
        mean, directions, words = (part.numpy() for part in parts)
        return mean, directions, words


class Placeholder(nn.Module):
    """Words (n, D) to pictures (n, 3, 16, 16), 0 to 1 where they are not clipped yet.

    Args:
        pictures: (n, 3, 16, 16), 0 to 1: to begin with, the mean of all is drawn.
    """

    def __init__(self, pictures: NDArray[np.float32]) -> None:
        super().__init__()
        last = nn.Linear(_INNER, 3 * PLACEHOLDER**2)
        self.layers = nn.Sequential(
            nn.Linear(BOOKS * COMPONENTS, _INNER),
            nn.ReLU(),
            nn.Linear(_INNER, _INNER),
            nn.ReLU(),
            last,
        )
        with torch.no_grad():
            last.bias.copy_(torch.from_numpy(pictures.mean(0)).flatten())

    def forward(self, words: Tensor) -> Tensor:
        """Draw."""
        drawn: Tensor = self.layers(words).view(-1, 3, PLACEHOLDER, PLACEHOLDER)
        return drawn


class LookCode(nn.Module):
    """Form, and the code of form and tone, with what draws of it.

    Args:
        form: trained.
        luma: (n, 1, 32, 32), 0 to 1, of many pictures: books of form begin with them.
        colours: (n, 3, 32, 32), 0 to 1, of many pictures: books of tone begin with them.
        seed: of the books.
    """

    def __init__(self, form: FormNetwork, luma: Tensor, colours: Tensor, *, seed: int = 0) -> None:
        super().__init__()
        self.form = form
        with torch.no_grad():
            forms = torch.cat([form(part) for part in torch.split(luma, _RUN)]).numpy()
        self.form_books = Books(forms, BOOKS - TONE_BOOKS, seed=seed)
        self.tone_books = Books(tone_of(colours).numpy(), TONE_BOOKS, seed=seed)
        self.placeholder = Placeholder(small(colours).numpy())

    def words(self, colours: Tensor, softness: float = SOFTNESS) -> Tensor:
        """Map pictures (n, 3, 32, 32), 0 to 1, to the words of their codes (n, D)."""
        luma = (colours * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        form = self.form_books.kept(self.form(luma))
        tone = self.tone_books.kept(tone_of(colours))
        both = [self.form_books(form, softness), self.tone_books(tone, softness)]
        return torch.cat(both, 1)


def tone_of(colours: Tensor) -> Tensor:
    """Mean colours of sixteen parts, (n, TONE), of pictures (n, 3, 32, 32)."""
    return nn.functional.avg_pool2d(colours, SIDE // 4).flatten(1)


def small(colours: Tensor) -> Tensor:
    """Pictures (n, 3, 32, 32) as they are drawn, (n, 3, 16, 16)."""
    return nn.functional.avg_pool2d(colours, SIDE // PLACEHOLDER)


def learn_placeholder(
    network: Placeholder,
    words: NDArray[np.float32],
    pictures: NDArray[np.float32],
    *,
    steps: int,
    seed: int = 0,
) -> None:
    """Learn to draw pictures of the words that their codes name, when these change no more.

    Args:
        network: what draws; it is changed.
        words: (n, D).
        pictures: (n, 3, 16, 16), 0 to 1.
        steps: of training.
        seed: of batches.
    """
    torch.manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    given, wanted = torch.from_numpy(words), torch.from_numpy(pictures)
    for _ in range(steps):
        rows = torch.randint(len(given), (256,))
        loss = (network(given[rows]) - wanted[rows]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
