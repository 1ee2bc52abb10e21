"""Network of the describer `look`: what is the same picture, whatever was done to it.

```
 RGB ─▶ luma, less its mean, over its deviation ─▶ trunk ─▶ form, of length 1
 RGB ─▶ mean colours of sixteen parts ────────────────────▶ tone
```
Form does not change with brightness, contrast and colour by construction, and learns not to change
with gamma, blur, noise, framing and small turns. Mirrored and turned pictures have another form,
which says where what is: who searches asks for all eight. Tone keeps what form leaves out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIDE = 32
"""Side of the pictures that the network sees."""
FORM, TONE = 64, 48
"""Components of either part."""
LUMA = (0.299, 0.587, 0.114)
DRAWN = 8
"""Side of what is drawn of form alone, in training."""
FLOOR = 0.01
"""Added to the deviation of the luma, so that the noise of a flat picture is not blown up."""
_LAYERS = ((32, 4, 2), (48, 3, 2), (64, 3, 1), (96, 3, 2))
"""Channels, side and stride of each convolution: none at full size, where most time would go."""


class FormNetwork(nn.Module):
    """Form of luma: (n, 1, 32, 32), 0 to 1, to (n, FORM), of length 1."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for width, side, stride in _LAYERS:
            layers += [nn.Conv2d(before, width, side, stride, padding=1), nn.ReLU()]
            before = width
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * before, FORM))
        self.linear = nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, FORM))

    def forward(self, luma: Tensor) -> Tensor:
        """Map (n, 1, 32, 32) to (n, FORM)."""
        centred = luma - luma.mean((2, 3), keepdim=True)
        # The deviation is the mean of this product times the side: a describer file has no root.
        flat = centred.flatten(1)
        deviation = (flat * nn.functional.normalize(flat, dim=1)).mean(1, keepdim=True) * SIDE
        even = flat / (deviation + FLOOR)
        x: Tensor = even.unflatten(1, (1, SIDE, SIDE))  # type: ignore[no-untyped-call]
        return nn.functional.normalize(self.trunk(x) + self.linear(x), dim=1)


class FormModel(nn.Module):
    """Form, and what draws of it, in training: forms that can be drawn tell where what is."""

    def __init__(self) -> None:
        super().__init__()
        self.form = FormNetwork()
        self.drawn = nn.Sequential(nn.Linear(FORM, 256), nn.ReLU(), nn.Linear(256, DRAWN**2))

    def draw(self, form: Tensor) -> Tensor:
        """Map (n, FORM) to luma (n, 1, DRAWN, DRAWN) of mean 0 and deviation 1."""
        drawn: Tensor = self.drawn(form).view(-1, 1, DRAWN, DRAWN)
        return drawn


class LookNetwork(nn.Module):
    """Form and tone of pictures.

    Args:
        form: trained.
    """

    def __init__(self, form: FormNetwork) -> None:
        super().__init__()
        self.form = form
        self.luma = nn.Conv2d(3, 1, 1, bias=False)
        self.parts = nn.Conv2d(3, 3, SIDE // 4, stride=SIDE // 4, groups=3, bias=False)
        self.form_first = nn.Linear(FORM, FORM + TONE, bias=False)
        self.tone_last = nn.Linear(TONE, FORM + TONE, bias=False)
        with torch.no_grad():
            self.form_first.weight.copy_(torch.eye(FORM + TONE, FORM))
            self.tone_last.weight.copy_(torch.eye(FORM + TONE)[:, FORM:])
            self.luma.weight.copy_(torch.tensor(LUMA).view(1, 3, 1, 1))
            self.parts.weight.fill_(1 / (SIDE // 4) ** 2)

    def forward(self, picture: Tensor) -> Tensor:
        """Map (n, 3, 32, 32), 0 to 1, to (n, FORM + TONE)."""
        tone = self.parts(picture).flatten(1)
        both: Tensor = self.form_first(self.form(self.luma(picture))) + self.tone_last(tone)
        return both
