"""The PyTorch networks that are exported: small, untrained, each with something that exporters write differently."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan  # there is no public name for it yet


class SequenceClassifier(nn.Module):
    """(batch, time, 12) -> (batch, 5): the last step of an LSTM, classified."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(12, 24, batch_first=True)
        self.classifier = nn.Linear(24, 5)

    def forward(self, frames: Tensor) -> Tensor:
        steps, _ = self.lstm(frames)
        logits: Tensor = self.classifier(steps[:, -1])
        return logits


class Tagger(nn.Module):
    """(time, batch, 8) -> (time, batch, 6): every step of two bidirectional GRU layers, classified."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 10, num_layers=2, bidirectional=True)
        self.classifier = nn.Linear(20, 6)

    def forward(self, frames: Tensor) -> Tensor:
        steps, _ = self.gru(frames)
        logits: Tensor = self.classifier(steps)
        return logits


class Recurrent(nn.Module):
    """(time, batch, 6) and an initial state (1, batch, 9) -> all steps and the last state of a plain RNN with ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(6, 9, nonlinearity="relu")

    def forward(self, frames: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        steps, last = self.rnn(frames, state)
        return steps, last


class Attention(nn.Module):
    """Self-attention of (batch, tokens, width) with several heads.

    Args:
        fused: one matrix for queries, keys and values, and PyTorch's own attention; otherwise three and every step.
    """

    def __init__(self, width: int, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.heads, self.head = heads, width // heads
        self.fused = fused
        if fused:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        batch, count, width = tokens.shape
        if self.fused:
            parts = self.qkv(tokens).reshape(batch, count, 3, self.heads, self.head)
            query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
            mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        else:
            query, key, value = (
                part(tokens).view(batch, count, self.heads, self.head).permute(0, 2, 1, 3)
                for part in (self.query, self.key, self.value)
            )
            scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(self.head)
            if mask is not None:
                scores = scores + mask
            mixed = torch.matmul(torch.softmax(scores, dim=-1), value)
        joined: Tensor = self.output(mixed.permute(0, 2, 1, 3).reshape(batch, count, width))
        return joined


class VisionBlock(nn.Module):
    """One block of a vision transformer: normalisation before attention and before the dense layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, fused=True)
        self.dense = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norm1(tokens))
        result: Tensor = tokens + self.dense(self.norm2(tokens))
        return result


class VisionTransformer(nn.Module):
    """(batch, 3, 16, 16) -> (batch, 10): patches of 4 x 4, a class token, two blocks."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, kernel_size=4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, 17, width))
        self.blocks = nn.Sequential(*(VisionBlock(width, 4) for _ in range(2)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, image: Tensor) -> Tensor:
        tokens = self.patches(image).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(image.shape[0], -1, -1), tokens], dim=1) + self.positions
        logits: Tensor = self.head(self.norm(self.blocks(tokens))[:, 0])
        return logits


class EncoderLayer(nn.Module):
    """One layer of a text encoder: normalisation after attention and after the dense layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads, fused=False)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        tokens = self.norm1(self.attention(tokens, mask) + tokens)
        result: Tensor = self.norm2(self.down(nn.functional.gelu(self.up(tokens))) + tokens)
        return result


class TextEncoder(nn.Module):
    """Token ids and attention mask, int64 (batch, time) -> every token's vector and that of the whole text."""

    def __init__(self, width: int = 32, vocabulary: int = 50, longest: int = 24) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(longest, width)
        self.kinds = nn.Embedding(2, width)
        self.register_buffer("position_ids", torch.arange(longest).expand(1, -1))
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(EncoderLayer(width, 4) for _ in range(2))
        self.pooler = nn.Linear(width, width)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor]:
        ids = self.position_ids[:, : input_ids.shape[1]]  # type: ignore[index]
        tokens = self.norm(self.words(input_ids) + self.kinds(token_type_ids) + self.places(ids))
        mask = (1.0 - attention_mask[:, None, None, :].to(tokens.dtype)) * -10000.0
        for layer in self.layers:
            tokens = layer(tokens, mask)
        return tokens, torch.tanh(self.pooler(tokens[:, 0]))


def double_convolution(inner: int, outer: int) -> nn.Sequential:
    """Two 3 x 3 convolutions, each with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1, bias=False),
        nn.BatchNorm2d(outer),
        nn.ReLU(),
        nn.Conv2d(outer, outer, 3, padding=1, bias=False),
        nn.BatchNorm2d(outer),
        nn.ReLU(),
    )


class UNet(nn.Module):
    """(batch, 1, height, width) -> (batch, 2, height, width): down twice, up twice, with skip connections."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = double_convolution(1, 6)
        self.down1, self.down2 = double_convolution(6, 12), double_convolution(12, 16)
        self.up2 = nn.ConvTranspose2d(16, 12, kernel_size=2, stride=2)
        self.join2 = double_convolution(24, 12)
        self.up1 = nn.ConvTranspose2d(12, 6, kernel_size=3, stride=2, padding=1, output_padding=1)
        self.join1 = double_convolution(12, 6)
        self.leave = nn.Conv2d(6, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        high = self.enter(image)
        middle = self.down1(nn.functional.max_pool2d(high, 2))
        low = self.down2(nn.functional.max_pool2d(middle, 2))
        middle = self.join2(torch.cat([middle, self.up2(low)], dim=1))
        high = self.join1(torch.cat([high, self.up1(middle)], dim=1))
        result: Tensor = torch.sigmoid(self.leave(high))
        return result


class SqueezeExcite(nn.Module):
    """Channels weighted by a gate that looks at all of the image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        gate = nn.functional.adaptive_avg_pool2d(image, 1)
        gate = nn.functional.hardsigmoid(self.excite(nn.functional.relu(self.squeeze(gate))))
        return image * gate


class InvertedResidual(nn.Module):
    """Wide in the middle, where it is depthwise; added to its input where the shapes agree."""

    def __init__(self, inner: int, outer: int, *, stride: int, activation: type[nn.Module], excite: bool) -> None:
        super().__init__()
        wide = 3 * inner
        self.skip = stride == 1 and inner == outer
        self.expand = nn.Sequential(nn.Conv2d(inner, wide, 1, bias=False), nn.BatchNorm2d(wide), activation())
        self.depthwise = nn.Sequential(
            nn.Conv2d(wide, wide, 3, stride=stride, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            activation(),
        )
        self.excite = SqueezeExcite(wide) if excite else nn.Identity()
        self.project = nn.Sequential(nn.Conv2d(wide, outer, 1, bias=False), nn.BatchNorm2d(outer))

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.project(self.excite(self.depthwise(self.expand(image))))
        return image + result if self.skip else result


class MobileNet(nn.Module):
    """(batch, 3, 24, 24) -> (batch, 10): depthwise convolutions, ReLU6 and hard swish, squeeze and excite."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.Hardswish()
        )
        self.blocks = nn.Sequential(
            InvertedResidual(8, 8, stride=1, activation=nn.ReLU6, excite=False),
            InvertedResidual(8, 12, stride=2, activation=nn.Hardswish, excite=True),
            InvertedResidual(12, 12, stride=1, activation=nn.Hardswish, excite=True),
        )
        self.classifier = nn.Sequential(nn.Linear(12, 24), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(24, 10))

    def forward(self, image: Tensor) -> Tensor:
        features = self.blocks(self.stem(image))
        logits: Tensor = self.classifier(nn.functional.adaptive_avg_pool2d(features, 1).flatten(1))
        return logits


class ScriptedBranch(nn.Module):
    """(batch, 8) -> (batch, 4): one of two dense layers, as the sum of the input decides; to be scripted."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(8, 12)
        self.positive, self.negative = nn.Linear(12, 4), nn.Linear(12, 4)

    def forward(self, features: Tensor) -> Tensor:
        hidden = torch.relu(self.enter(features))
        if bool(features.sum() > 0):  # noqa: SIM108 (an expression is not scripted as a branch)
            result = self.positive(hidden)
        else:
            result = torch.tanh(self.negative(hidden))
        return result


class CondBranch(ScriptedBranch):
    """The same, for an exporter that does not script."""

    def forward(self, features: Tensor) -> Tensor:
        hidden = torch.relu(self.enter(features))
        result: Tensor = torch.cond(
            features.sum() > 0,
            lambda wide: self.positive(wide),
            lambda wide: torch.tanh(self.negative(wide)),
            (hidden,),
        )
        return result


class ScriptedLoop(nn.Module):
    """(time, batch, 6) -> (batch, 7): a recurrent cell, applied step by step; to be scripted."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.state = nn.Linear(6, 7), nn.Linear(7, 7, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        state = torch.zeros(frames.shape[1], 7)
        for step in range(frames.shape[0]):
            state = torch.tanh(self.input(frames[step]) + self.state(state))
        return state


class ScanLoop(ScriptedLoop):
    """The same, for an exporter that does not script; gives every step as well."""

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        def step(state: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
            state = torch.tanh(self.input(frame) + self.state(state))
            return state, state.clone()

        last, steps = scan(step, torch.zeros(frames.shape[1], 7), frames)
        return last, steps


class ConvNet(nn.Module):
    """(batch, 1, 8, 8) -> (batch, 10): two convolutions and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1)
        self.fc = nn.Linear(48, 10)

    def forward(self, image: Tensor) -> Tensor:
        hidden = nn.functional.max_pool2d(torch.relu(self.conv1(image)), 2)
        hidden = nn.functional.max_pool2d(torch.relu(self.conv2(hidden)), 2)
        logits: Tensor = self.fc(hidden.flatten(1))
        return logits


class Perceptron(nn.Module):
    """(batch, time, 64) -> (batch, time, 10): dense layers over any number of steps."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 48), nn.Linear(48, 32), nn.Linear(32, 10)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(features)))))
        return logits
