"""The blocks of YOLOv12 as plain compositions of torch modules, written from the formulas."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Conv(nn.Module):
    """Convolution, batch normalization, SiLU."""

    def __init__(self, c_in, c_out, k=1, s=1, g=1, d=1, act=True):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, k, s, d * (k - 1) // 2, d, g, bias=False)
        self.bn = nn.BatchNorm2d(c_out, eps=1e-3, momentum=0.03)
        self.act = nn.SiLU() if act else nn.Identity()

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    def __init__(self, c_in, c_out, shortcut=True, g=1, k=(3, 3), e=0.5):
        super().__init__()
        self.conv1 = Conv(c_in, int(c_out * e), k[0])
        self.conv2 = Conv(int(c_out * e), c_out, k[1], g=g)
        self.add = shortcut and c_in == c_out

    def forward(self, x):
        y = self.conv2(self.conv1(x))
        return x + y if self.add else y


class C3k(nn.Module):
    def __init__(self, c_in, c_out, n=2, shortcut=True, g=1, k=3):
        super().__init__()
        c = c_out // 2
        self.conv1, self.conv2 = Conv(c_in, c), Conv(c_in, c)
        self.conv3 = Conv(2 * c, c_out)
        self.bottlenecks = nn.ModuleList(
            Bottleneck(c, c, shortcut, g, (k, k), 1.0) for _ in range(n)
        )

    def forward(self, x):
        y = self.conv1(x)
        for bottleneck in self.bottlenecks:
            y = bottleneck(y)
        return self.conv3(torch.cat([y, self.conv2(x)], 1))


class C3k2(nn.Module):
    def __init__(self, c_in, c_out, n=1, c3k=False, e=0.5, g=1, shortcut=True):
        super().__init__()
        c = int(c_out * e)
        self.conv1, self.conv2 = Conv(c_in, 2 * c), Conv((2 + n) * c, c_out)
        self.chain = nn.ModuleList(
            C3k(c, c, 2, shortcut, g) if c3k else Bottleneck(c, c, shortcut, g) for _ in range(n)
        )

    def forward(self, x):
        kept = list(self.conv1(x).chunk(2, 1))
        for link in self.chain:
            kept.append(link(kept[-1]))
        return self.conv2(torch.cat(kept, 1))


class Area(nn.Module):
    """Attention within equal consecutive pieces of the row-major tokens, head first."""

    def __init__(self, c, heads, area=1, pe=7):
        super().__init__()
        self.heads, self.area = heads, area
        self.qkv = Conv(c, 3 * c, act=False)
        self.pe = Conv(c, c, pe, g=c, act=False)
        self.proj = Conv(c, c, act=False)

    def forward(self, x):
        b, c, h, w = x.shape
        d = c // self.heads
        tokens = self.qkv(x).permute(0, 2, 3, 1).reshape(b, h * w, self.heads, 3, d)
        values = tokens[:, :, :, 2].reshape(b, h, w, c).permute(0, 3, 1, 2)
        out = []
        for piece in tokens.chunk(self.area, 1):
            q, k, v = (piece[:, :, :, i].transpose(1, 2) for i in range(3))
            weights = torch.softmax(q @ k.transpose(2, 3) / d**0.5, -1)
            out.append((weights @ v).transpose(1, 2).reshape(b, -1, c))
        attended = torch.cat(out, 1).reshape(b, h, w, c).permute(0, 3, 1, 2)
        return self.proj(attended + self.pe(values))


class Attention(nn.Module):
    def __init__(self, c, heads, ratio=2.0, area=1, pe=7):
        super().__init__()
        self.attention = Area(c, heads, area, pe)
        self.mlp1 = Conv(c, int(c * ratio))
        self.mlp2 = Conv(int(c * ratio), c, act=False)

    def forward(self, x):
        x = x + self.attention(x)
        return x + self.mlp2(self.mlp1(x))


class A2C2f(nn.Module):
    def __init__(self, c_in, c_out, n=1, area=1, a2=True, residual=False, ratio=2.0, e=0.5):
        super().__init__()
        c = int(c_out * e)
        self.conv1, self.conv2 = Conv(c_in, c), Conv((1 + n) * c, c_out)
        self.gamma = nn.Parameter(0.01 * torch.ones(c_out)) if residual else None
        self.chain = nn.ModuleList(
            block
            for _ in range(n)
            for block in (
                [Attention(c, c // 32, ratio, area) for _ in range(2)] if a2 else [C3k(c, c, 2)]
            )
        )
        self.per_step = 2 if a2 else 1

    def forward(self, x):
        kept = [self.conv1(x)]
        for first in range(0, len(self.chain), self.per_step):
            x_i = kept[-1]
            for block in self.chain[first : first + self.per_step]:
                x_i = block(x_i)
            kept.append(x_i)
        y = self.conv2(torch.cat(kept, 1))
        return y if self.gamma is None else x + self.gamma[:, None, None] * y


class Detect(nn.Module):
    """Raw boxes and scores of all levels, (batch, positions, 4 * reg_max + classes)."""

    def __init__(self, classes, channels, reg_max=16):
        super().__init__()
        box = max(16, channels[0] // 4, 4 * reg_max)
        cls = max(channels[0], min(classes, 100))
        self.boxes = nn.ModuleList(
            nn.Sequential(Conv(c, box, 3), Conv(box, box, 3), nn.Conv2d(box, 4 * reg_max, 1))
            for c in channels
        )
        self.classes = nn.ModuleList(
            nn.Sequential(
                Conv(c, c, 3, g=c),
                Conv(c, cls),
                Conv(cls, cls, 3, g=cls),
                Conv(cls, cls),
                nn.Conv2d(cls, classes, 1),
            )
            for c in channels
        )

    def forward(self, *levels):
        out = [
            torch.cat([boxes(x), classes(x)], 1).flatten(2).transpose(1, 2)
            for boxes, classes, x in zip(self.boxes, self.classes, levels, strict=True)
        ]
        return torch.cat(out, 1)


class Segment(nn.Module):
    """Semantic: every level to the first one's size, fused, to the image's size."""

    def __init__(self, classes, channels, c, stride, fusion="concat"):
        super().__init__()
        self.stride, self.fusion = stride, fusion
        self.lateral = nn.ModuleList(Conv(n, c) for n in channels)
        self.fuse = Conv(c * len(channels) if fusion == "concat" else c, c, 3)
        self.classify = nn.Conv2d(c, classes, 1)

    def forward(self, *levels):
        def resize(x, size):
            return functional.interpolate(x, size, mode="bilinear", align_corners=False)

        size = levels[0].shape[2:]
        maps = [resize(conv(x), size) for conv, x in zip(self.lateral, levels, strict=True)]
        y = self.fuse(torch.cat(maps, 1) if self.fusion == "concat" else sum(maps))
        return self.classify(resize(y, [self.stride * n for n in size]))
