"""MoCoLSK-Net once more as plain `torch.nn` modules: the oracle.

Written from the paper's description with PyTorch's own layers (adaptive pooling, grouped
convolution, `torch.max`), whose parameters have the names of the native ones: `load_state_dict`
takes a native state. The same modules are the rival of benchmarks/mocolsk_net.py.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import nn

BINS = (1, 2, 3, 6)


def conv3(a, b):
    return nn.Conv2d(a, b, 3, padding=1)


def conv1(a, b):
    return nn.Conv2d(a, b, 1)


def numbered(module, name, number):
    return getattr(module, f"{name}{number}")


class ChannelAttention(nn.Module):
    def __init__(self, width, reduction):
        super().__init__()
        self.squeeze = conv1(width, max(width // reduction, 1))
        self.expand = conv1(max(width // reduction, 1), width)

    def forward(self, x):
        pooled = F.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.expand(F.relu(self.squeeze(pooled))))


class RCAB(nn.Module):
    def __init__(self, width, reduction):
        super().__init__()
        self.conv0, self.conv1 = conv3(width, width), conv3(width, width)
        self.attention = ChannelAttention(width, reduction)

    def forward(self, x):
        return x + self.attention(self.conv1(F.leaky_relu(self.conv0(x), 0.2)))


class ResidualGroup(nn.Module):
    def __init__(self, width, blocks, reduction):
        super().__init__()
        self.blocks = blocks
        for i in range(blocks):
            setattr(self, f"block{i}", RCAB(width, reduction))
        self.conv = conv3(width, width)

    def forward(self, x):
        y = x
        for i in range(self.blocks):
            y = numbered(self, "block", i)(y)
        return x + self.conv(y)


class ProjectionUnit(nn.Module):
    def __init__(self, a, b, scale, up):
        super().__init__()
        kernel, stride, padding = {2: (6, 2, 2), 4: (8, 4, 2), 8: (12, 8, 2), 16: (20, 16, 2)}[
            scale
        ]
        first, second = (nn.ConvTranspose2d, nn.Conv2d) if up else (nn.Conv2d, nn.ConvTranspose2d)
        self.project0 = first(a, b, kernel, stride, padding)
        self.project1 = second(b, a, kernel, stride, padding)
        self.project2 = first(a, b, kernel, stride, padding)
        self.slope0 = nn.Parameter(torch.full((b,), 0.25))
        self.slope1 = nn.Parameter(torch.full((a,), 0.25))
        self.slope2 = nn.Parameter(torch.full((b,), 0.25))

    def forward(self, x):
        a0 = F.prelu(self.project0(x), self.slope0)
        b0 = F.prelu(self.project1(a0), self.slope1)
        return a0 + F.prelu(self.project2(b0 - x), self.slope2)


def tokens_of(x, pooling):
    if pooling == "pyramid":
        parts = [F.adaptive_avg_pool2d(x, bins).flatten(2) for bins in BINS]
    else:
        kinds = {"avg": [F.adaptive_avg_pool2d], "max": [F.adaptive_max_pool2d]}
        kinds["avg_max"] = kinds["avg"] + kinds["max"]
        parts = [kind(x, 1).flatten(2) for kind in kinds[pooling]]
    return torch.cat(parts, 2).transpose(1, 2)


class DynamicMLP(nn.Module):
    def __init__(self, planes, guide, hidden, layers, version):
        super().__init__()
        sizes = [planes] + [hidden] * (layers - 1) + [planes]
        self.sizes, self.version = sizes, version
        for i, (a, b) in enumerate(itertools.pairwise(sizes)):
            if version == "A":
                setattr(self, f"guide1_{i}", nn.Linear(guide, a * b))
            else:
                both = a + guide
                setattr(self, f"token0_{i}", nn.Linear(both if version == "C" else a, b))
                setattr(self, f"token1_{i}", nn.Linear(b, a))
                setattr(self, f"guide0_{i}", nn.Linear(both if version == "C" else guide, b))
                setattr(self, f"guide1_{i}", nn.Linear(b, a * b))
                setattr(self, f"mix_{i}", nn.Linear(b, b, bias=False))
                setattr(self, f"mix_norm_{i}", nn.LayerNorm(b))
            setattr(self, f"norm_{i}", nn.LayerNorm(b))

    def forward(self, t, g):
        for i, (a, b) in enumerate(zip(self.sizes[:-1], self.sizes[1:], strict=True)):
            if self.version == "A":
                row, matrix = t, numbered(self, "guide1_", i)(g)
            else:
                own = torch.cat([t, g], 2) if self.version == "C" else t
                other = torch.cat([t, g], 2) if self.version == "C" else g
                row = numbered(self, "token1_", i)(F.relu(numbered(self, "token0_", i)(own)))
                matrix = numbered(self, "guide1_", i)(F.relu(numbered(self, "guide0_", i)(other)))
            matrix = matrix.reshape(*matrix.shape[:2], a, b)
            t = F.relu(numbered(self, "norm_", i)(torch.einsum("bti,btio->bto", row, matrix)))
            if self.version != "A":
                t = F.relu(numbered(self, "mix_norm_", i)(numbered(self, "mix_", i)(t)))
        return t


class WeightGenerator(nn.Module):
    def __init__(self, width, outputs, o):
        super().__init__()
        self.o = o
        self.token = nn.Linear(width, width)
        self.mlp = DynamicMLP(width, width, o["mlp_hidden"], o["mlp_layers"], o["mlp"])
        self.out, self.norm = nn.Linear(width, outputs), nn.LayerNorm(outputs)
        self.raw = nn.Linear(width, outputs)

    def forward(self, x, g):
        raw, guide = tokens_of(x, self.o["pooling"]), tokens_of(g, self.o["pooling"])
        each = self.norm(self.out(self.mlp(self.token(raw), guide))) + self.raw(raw)
        result = each.mean(1)
        if self.o["behaviour"] == "as_released":
            return result.detach().mean(0, keepdim=True).expand_as(result)
        return result


class Cascade(nn.Module):
    def __init__(self, width, o):
        super().__init__()
        self.count = len(o["kernels"])
        for i, (k, d) in enumerate(zip(o["kernels"], o["dilations"], strict=True)):
            layer = nn.Conv2d(width, width, k, padding=k // 2 * d, dilation=d, groups=width)
            setattr(self, f"depthwise{i}", layer)

    def forward(self, x):
        results = []
        for i in range(self.count):
            x = numbered(self, "depthwise", i)(x)
            results.append(x)
        return results


class SpatialSelection(nn.Module):
    def __init__(self, width, branches, static):
        super().__init__()
        self.branches = branches
        for i in range(branches):
            setattr(self, f"reduce{i}", conv1(width, width // 2))
        if static:
            self.masks = nn.Conv2d(2, 2, static, padding=static // 2)
        self.expand = conv1(width // 2, width)

    def forward(self, branches, kernel=None):
        own = [numbered(self, "reduce", i)(b) for i, b in enumerate(branches)]
        both = torch.cat(own, 1)
        maps = torch.cat([both.mean(1, keepdim=True), both.max(1, keepdim=True)[0]], 1)
        if kernel is None:
            masks = self.masks(maps)
        else:
            n, _, h, w = maps.shape
            k = kernel.shape[-1]
            masks = F.conv2d(
                maps.reshape(1, 2 * n, h, w), kernel.reshape(2 * n, 2, k, k), padding=k // 2,
                groups=n,
            ).reshape(n, 2, h, w)  # fmt: skip
        first, second = torch.sigmoid(masks).split(1, 1)
        return self.expand(own[0] * first + own[-1] * second)


class ChannelSelection(nn.Module):
    def __init__(self, width, hidden, branches, activation):
        super().__init__()
        self.branches, self.activation = branches, activation
        self.squeeze = nn.Linear(width, hidden)
        for i in range(branches):
            setattr(self, f"expand{i}", nn.Linear(hidden, width))

    def forward(self, branches, condition=None):
        hidden = self.squeeze(F.adaptive_avg_pool2d(sum(branches), 1).flatten(1))
        hidden = hidden if condition is None else hidden + condition
        hidden = F.relu(hidden) if self.activation else hidden
        scores = [numbered(self, "expand", i)(hidden) for i in range(self.branches)]
        weights = torch.softmax(torch.stack(scores), 0)[..., None, None]
        return sum(w * b for w, b in zip(weights, branches, strict=True))


class MoCoLSK(nn.Module):
    def __init__(self, width, o, selection):
        super().__init__()
        self.o, self.spatial = o, selection == "spatial"
        branches, k = len(o["kernels"]), o["dynamic_kernel"]
        self.cascade = Cascade(width, o)
        if o["dynamic"]:
            self.generator = WeightGenerator(width, 4 * k * k if self.spatial else width, o)
        if self.spatial:
            self.selection = SpatialSelection(width, branches, 0 if o["dynamic"] else 7)
        else:
            for i in range(branches):
                setattr(self, f"mix{i}", conv1(width, width))
            self.selection = ChannelSelection(width, width, branches, False)

    def forward(self, x, g):
        generated = self.generator(x, g) if self.o["dynamic"] else None
        branches = self.cascade(g if self.o["wiring"] == "exchanged" else x)
        if self.spatial and generated is not None:
            k = self.o["dynamic_kernel"]
            generated = generated.reshape(-1, 2, 2, k, k)
        elif not self.spatial:
            branches = [numbered(self, "mix", i)(b) for i, b in enumerate(branches)]
        selected = self.selection(branches, generated)
        return (g if self.o["wiring"] == "conditioned" else x) * selected


class LSKBlock(nn.Module):
    def __init__(self, width, hidden, o, channel):
        super().__init__()
        self.channel, branches = channel, len(o["kernels"])
        self.cascade = Cascade(width, o)
        if channel:
            for i in range(branches):
                setattr(self, f"mix{i}", conv1(width, width))
            self.selection = ChannelSelection(width, hidden, branches, False)
        else:
            self.selection = SpatialSelection(width, branches, 7)

    def forward(self, x):
        branches = self.cascade(x)
        if self.channel:
            branches = [numbered(self, "mix", i)(b) for i, b in enumerate(branches)]
        return x * self.selection(branches)


class SKBlock(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        for i in range(2):
            layer = nn.Conv2d(width, width, 3, padding=i + 1, dilation=i + 1, groups=width)
            setattr(self, f"depthwise{i}", layer)
            setattr(self, f"norm{i}", nn.BatchNorm2d(width))
        self.selection = ChannelSelection(width, hidden, 2, True)

    def forward(self, x):
        return self.selection(
            [F.relu(numbered(self, "norm", i)(numbered(self, "depthwise", i)(x))) for i in range(2)]
        )


class Comparison(nn.Module):
    def __init__(self, width, o):
        super().__init__()
        if o["fusion"] == "sk":
            self.block = SKBlock(2 * width, width)
        else:
            self.block = LSKBlock(2 * width, width, o, o["fusion"] == "lsk_cs")
        self.merge = conv1(2 * width, width)

    def forward(self, x, g):
        return self.merge(self.block(torch.cat([x, g], 1)))


class Bridge(nn.Module):
    def __init__(self, a, b, o, selection):
        super().__init__()
        width = o["width"]
        self.up = ProjectionUnit(a, width, o["scale"], True)
        self.down = ProjectionUnit(2 * width, b, o["scale"], False)
        if o["fusion"] == "mocolsk":
            self.core = MoCoLSK(width, o, selection)
        elif o["fusion"] != "concatenation":
            self.core = Comparison(width, o)

    def forward(self, main, g):
        x = self.up(main)
        return self.down(torch.cat([x, self.core(x, g) if hasattr(self, "core") else g], 1))


class MoCoLSKNet(nn.Module):
    """The whole network, of the options that a native network states."""

    def __init__(self, options):
        super().__init__()
        self.o = o = options
        width, stages, reduction = o["width"], o["stages"], o["reduction"]
        self.main_stem = conv3(1, width)
        self.guide_stem = conv3(sum(guide["bands"] for guide in o["guides"]), width)
        for i in range(stages):
            selection = o["selection"][i % len(o["selection"])]
            setattr(self, f"main_group{i}", ResidualGroup(width * (i + 1), o["blocks"], reduction))
            setattr(self, f"guide_group{i}", ResidualGroup(width, o["blocks"], reduction))
            setattr(self, f"bridge{i}", Bridge(width * (i + 1), width * (i + 2), o, selection))
        wide = width * (stages + 1)
        self.coarse_group = ResidualGroup(wide, o["blocks"], reduction)
        self.up = ProjectionUnit(wide, wide, o["scale"], True)
        self.fine_group0 = ResidualGroup(wide, o["reconstruction_blocks"], reduction)
        self.fine_group1 = ResidualGroup(wide, o["reconstruction_blocks"], reduction)
        self.head0, self.head1 = conv3(wide, width), conv3(width, 1)

    def forward(self, low, guides):
        o = self.o
        low = (low - o["input_mean"]) / o["input_std"]
        x = F.leaky_relu(self.main_stem(low), 0.2)
        g = torch.cat([guides[guide["name"]] for guide in o["guides"]], 1)
        g = F.leaky_relu(self.guide_stem(g), 0.2)
        for i in range(o["stages"]):
            x, g = numbered(self, "main_group", i)(x), numbered(self, "guide_group", i)(g)
            x = numbered(self, "bridge", i)(x, g)
        y = self.fine_group1(self.fine_group0(self.up(self.coarse_group(x))))
        y = self.head1(F.leaky_relu(self.head0(y), 0.2))
        y = y + F.interpolate(low, scale_factor=o["scale"], mode="bicubic", align_corners=False)
        if o["consistency"] == "additive":
            missing = low - F.avg_pool2d(y, o["scale"])
            y = y + F.interpolate(missing, scale_factor=o["scale"], mode="nearest")
        return y * o["input_std"] + o["input_mean"]


def twin(net):
    """The plain network with the parameters of a native one."""
    plain = MoCoLSKNet(net.options).to(next(net.parameters()).dtype)
    plain.load_state_dict(net.state_dict())
    return plain.train(net.training)
