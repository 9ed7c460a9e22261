"""DeepLightSR once more, plainly, from a state dict: the oracle of the native network.

Written from the paper's description and docs/method.md with torch.nn.functional, torchvision's
deformable convolution and torch's own affine grid, in whatever precision its inputs have.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
import torchvision


def forward(state, options, low, guides):
    """Image, pyramid and auxiliary logits of a network with these options and tensors."""
    return Reference(state, options).run(low, guides)


class Reference:
    def __init__(self, state, options):
        self.state, self.options = state, options
        self.levels = int(math.log2(options["scale"]))
        self.names = [g["name"] for g in options["guides"]]
        self.present = [n for n in self.names if n not in options["without"]]

    def conv(self, name, x, stride=1, padding=None):
        weight = self.state[name + ".weight"]
        padding = weight.shape[-1] // 2 if padding is None else padding
        return F.conv2d(x, weight, self.state[name + ".bias"], stride, padding)

    def run(self, low, guides):
        h, w = low.shape[2:]
        r = self.options["scale"]
        pad = (-w % 4, -h % 4)
        low = F.pad(low, (0, pad[0], 0, pad[1]), mode="replicate")
        raw = {
            n: F.pad(guides[n], (0, pad[0] * r, 0, pad[1] * r), mode="replicate")
            for n in self.present
        }
        pyramids = {n: self.downsample(n, raw[n]) for n in self.present}
        coarse = {n: pyramids[n][-1] for n in self.present}
        if "low_resolution" in self.options["without"]:
            main = torch.stack(list(coarse.values())).mean(0)
        else:
            main, coarse = self.align(low, coarse)
        if len(self.present) < len(self.names):
            stand_in = torch.stack(list(coarse.values())).mean(0) if coarse else main
            coarse = {n: coarse.get(n, stand_in) for n in self.names}
        fused = self.fuse(main, [coarse[n] for n in self.names])
        image, pyramid, logits = self.refine(fused, low, raw, pyramids)

        def crop(x):
            f = x.shape[2] // low.shape[2]
            return x[:, :, : f * h, : f * w]

        return crop(image), [crop(x) for x in pyramid], None if logits is None else crop(logits)

    def downsample(self, name, x):
        result = []
        for level in range(self.levels):
            x = F.relu(self.conv(f"downsample_{name}.conv{level}", x, stride=2))
            result.append(x)
        return result

    def affine(self, image, matrix):
        """By torch's normalised affine grid; equal while no displacement reaches the bound."""
        h, w = image.shape[2:]
        theta = matrix.clone()
        theta[:, 0, 1] = matrix[:, 0, 1] * h / w
        theta[:, 1, 0] = matrix[:, 1, 0] * w / h
        theta[:, 0, 0] += 1
        theta[:, 1, 1] += 1
        theta[:, 0, 2] = matrix[:, 0, 2] * 2 / w
        theta[:, 1, 2] = matrix[:, 1, 2] * 2 / h
        grid = F.affine_grid(theta, list(image.shape), align_corners=False)
        return F.grid_sample(image, grid, "bilinear", "border", align_corners=False)

    def align(self, low, coarse):
        options = self.options["align"]
        if not options["enabled"]:
            return self.conv("align.plain", low), coarse
        matrix = None
        if options["warp"]:
            x = F.relu(F.max_pool2d(self.conv("align.transformer.conv0", low), 2))
            x = F.relu(F.max_pool2d(self.conv("align.transformer.conv1", x), 2))
            x = F.adaptive_avg_pool2d(x, 4).flatten(1)
            for i in (0, 1):
                weight = self.state[f"align.transformer.linear{i}.weight"]
                x = F.linear(x, weight, self.state[f"align.transformer.linear{i}.bias"])
                x = F.relu(x) if i == 0 else x
            matrix = x.view(-1, 2, 3)
            low = self.affine(low, matrix)
        head = self.conv("align.local.head", low)
        raw = self.conv("align.local.offset", head)
        bound = options["max_offset"]
        sampled = torchvision.ops.deform_conv2d(
            head,
            bound * torch.tanh(raw[:, :18] / bound),
            self.state["align.local.weight"],
            self.state["align.local.bias"],
            padding=1,
            mask=torch.sigmoid(raw[:, 18:]) if options["modulated"] else None,
        )
        main = self.conv("align.local.reconstruction", F.relu(sampled))
        aligned = {}
        for name, x in coarse.items():
            if matrix is not None and options["warp_guides"]:
                x = self.affine(x, matrix)
            x = F.relu(self.conv(f"align.guide_{name}.conv0", torch.cat([main, x], 1)))
            aligned[name] = self.conv(f"align.guide_{name}.conv1", x)
        return main, aligned

    def cmfm(self, prefix, a, b):
        def resize(x, divisor):
            size = [a.shape[2] // divisor, a.shape[3] // divisor]
            return F.interpolate(x, size, mode="bilinear", align_corners=False)

        options = self.options["fuse"]
        y_a = y_b = None
        for stage, divisor in enumerate((4, 2, 1)):
            x_a, x_b = resize(a, divisor), resize(b, divisor)
            if stage > 0:
                up_a, up_b = resize(y_a, divisor), resize(y_b, divisor)
                x_a = self.conv(f"{prefix}.merge_a{stage}", torch.cat([up_a, x_a], 1))
                x_b = self.conv(f"{prefix}.merge_b{stage}", torch.cat([up_b, x_b], 1))
            if options["cross_branch"]:
                x_a = x_a + self.conv(f"{prefix}.project{stage}", x_b)
            y_a = self.blocks(f"{prefix}.blocks_a{stage}", x_a)
            y_b = self.blocks(f"{prefix}.blocks_b{stage}", x_b)
        merged = F.relu(self.conv(f"{prefix}.out0", torch.cat([y_a, y_b], 1)))
        return F.relu(self.conv(f"{prefix}.out1", merged))

    def blocks(self, prefix, x):
        for block in range(self.options["fuse"]["blocks"]):
            name = f"{prefix}_{block}"
            x = x + self.conv(f"{name}.conv1", F.relu(self.conv(f"{name}.conv0", x)))
        return x

    def fuse(self, main, guides):
        if not guides:
            return main
        fused = guides[0]
        for i, guide in enumerate(guides[1:]):
            fused = self.cmfm(f"fuse.auxiliary{i}", fused, guide)
        return self.cmfm("fuse.main", main, fused)

    def refine(self, x, low, raw, pyramids):
        options = self.options["refine"]
        pyramid = []
        for level in range(self.levels):
            last = level == self.levels - 1
            x = F.relu(F.pixel_shuffle(self.conv(f"refine.expand{level}", x), 2))
            if options["guide_gate"]:
                sources = (
                    [raw[n] for n in self.present]
                    if last
                    else [pyramids[n][self.levels - 2 - level] for n in self.present]
                )
                gate = F.relu(self.conv(f"refine.gate{level}_0", torch.cat(sources, 1)))
                x = x * (1 + self.conv(f"refine.gate{level}_1", gate))
            if options["multi_scale"] or last:
                prediction = self.conv(f"refine.head{level}", x)
                if options["bicubic_skip"]:
                    prediction = prediction + F.interpolate(
                        low, x.shape[2:], mode="bicubic", align_corners=False
                    )
                pyramid.append(prediction)
        logits = self.conv("refine.auxiliary", pyramid[-1]) if options["auxiliary_head"] else None
        if options["consistency"] == "additive":
            r = self.options["scale"]
            difference = low - F.avg_pool2d(pyramid[-1], r)
            pyramid[-1] = pyramid[-1] + F.interpolate(difference, scale_factor=r, mode="nearest")
        return pyramid[-1], pyramid, logits
