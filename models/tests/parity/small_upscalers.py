"""Upscalers that spandrel does not have, written as plain torch from their papers, with the key names of the published files."""
import torch
import torch.nn.functional as F
from torch import nn


def conv(cin, cout, kernel=3, bias=True, **more):
    return nn.Conv2d(cin, cout, kernel, padding=kernel // 2, bias=bias, **more)


class Esa(nn.Module):
    """RLFN's attention."""

    def __init__(self, features, width=16):
        super().__init__()
        self.conv1, self.conv_f, self.conv4 = conv(features, width, 1), conv(width, width, 1), conv(width, features, 1)
        self.conv2 = nn.Conv2d(width, width, 3, stride=2)
        self.conv3 = conv(width, width)

    def forward(self, x):
        narrow = self.conv1(x)
        small = self.conv3(F.max_pool2d(self.conv2(narrow), 7, stride=3))
        large = F.interpolate(small, x.shape[2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(large + self.conv_f(narrow)))


class Rlfb(nn.Module):
    def __init__(self, features, middle, width):
        super().__init__()
        self.c1_r, self.c2_r, self.c3_r = conv(features, middle), conv(middle, middle), conv(middle, features)
        self.c5, self.esa = conv(features, features, 1), Esa(features, width)

    def forward(self, x):
        y = x
        for layer in (self.c1_r, self.c2_r, self.c3_r):
            y = F.leaky_relu(layer(y), 0.05)
        return self.esa(self.c5(y + x))


class Rlfn(nn.Module):
    """Kong et al. 2022, as pruned for NTIRE 2022."""

    def __init__(self, features=46, middle=48, width=16, blocks=4, scale=4):
        super().__init__()
        self.conv_1 = conv(3, features)
        self.blocks = blocks
        for i in range(1, blocks + 1):
            setattr(self, f"block_{i}", Rlfb(features, middle, width))
        self.conv_2 = conv(features, features)
        self.upsampler = nn.Sequential(conv(features, 3 * scale * scale), nn.PixelShuffle(scale))

    def forward(self, x):
        first = x = self.conv_1(x)
        for i in range(1, self.blocks + 1):
            x = getattr(self, f"block_{i}")(x)
        return self.upsampler(self.conv_2(x) + first)


class Contrast(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.conv_du = nn.Sequential(conv(features, hidden, 1), nn.ReLU(), conv(hidden, features, 1), nn.Sigmoid())

    def forward(self, x):
        spread = x.var((2, 3), unbiased=False, keepdim=True).sqrt()
        return x * self.conv_du(spread + x.mean((2, 3), keepdim=True))


class Imdb(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.kept = features // 4
        rest = features - self.kept
        self.c1, self.c2, self.c3 = conv(features, features), conv(rest, features), conv(rest, features)
        self.c4, self.c5, self.cca = conv(rest, self.kept), conv(features, features, 1), Contrast(features, hidden)

    def forward(self, x):
        kept, y = [], x
        for layer in (self.c1, self.c2, self.c3):
            y = F.leaky_relu(layer(y), 0.05)
            kept.append(y[:, : self.kept])
            y = y[:, self.kept :]
        return self.c5(self.cca(torch.cat([*kept, self.c4(y)], 1))) + x


class Imdn(nn.Module):
    """Hui et al. 2019."""

    def __init__(self, features=64, blocks=6, hidden=4, scale=4):
        super().__init__()
        self.fea_conv, self.blocks = conv(3, features), blocks
        for i in range(1, blocks + 1):
            setattr(self, f"IMDB{i}", Imdb(features, hidden))
        self.c = nn.Sequential(conv(blocks * features, features, 1), nn.LeakyReLU(0.05))
        self.LR_conv = conv(features, features)
        self.upsampler = nn.Sequential(conv(features, 3 * scale * scale), nn.PixelShuffle(scale))

    def forward(self, x):
        first = x = self.fea_conv(x)
        all_ = []
        for i in range(1, self.blocks + 1):
            x = getattr(self, f"IMDB{i}")(x)
            all_.append(x)
        return self.upsampler(self.LR_conv(self.c(torch.cat(all_, 1))) + first)


class PlusAttention(nn.Module):
    def __init__(self, features):
        super().__init__()
        part = features // 3
        self.part = part
        self.proj, self.out = conv(features, features, bias=False), conv(features, features, 1, bias=False)
        self.dwconv = conv(part, part, bias=False, groups=part)

    def forward(self, x):
        h, w = x.shape[2:]
        own, rest = self.proj(x).split([self.part, x.shape[1] - self.part], 1)
        seen = self.dwconv(F.adaptive_max_pool2d(own, (h // 8, w // 8)))
        seen = F.gelu(F.interpolate(seen, (h, w), mode="bilinear")) * own
        return self.out(F.gelu(torch.cat([rest, seen], 1)))


class PlusMixer(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.conv1, self.conv2 = conv(features, hidden, bias=False), conv(hidden, features, 1, bias=False)

    def forward(self, x):
        return self.conv2(F.gelu(self.conv1(x)))


class PlusBlock(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.conv1, self.conv2 = PlusAttention(features), PlusMixer(features, hidden)

    def forward(self, x):
        return self.conv2(self.conv1(x)) + x


class SafmnPlus(nn.Module):
    """SAFMN++ of NTIRE 2024."""

    def __init__(self, features=36, hidden=54, blocks=6, scale=4):
        super().__init__()
        self.scale = scale
        self.to_feat = conv(3, features, bias=False)
        self.feats = nn.Sequential(*(PlusBlock(features, hidden) for _ in range(blocks)))
        self.to_img = nn.Sequential(conv(features, 3 * scale * scale, bias=False), nn.PixelShuffle(scale))

    def forward(self, x):
        near = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return self.to_img(self.feats(self.to_feat(x))) + near


class Espcn(nn.Module):
    """Shi et al. 2016."""

    def __init__(self, widths=(64, 32), scale=3):
        super().__init__()
        self.first_part = nn.Sequential(conv(1, widths[0], 5), nn.Tanh(), conv(*widths), nn.Tanh())
        self.last_part = nn.Sequential(conv(widths[1], scale * scale), nn.PixelShuffle(scale))

    def forward(self, x):
        return self.last_part(self.first_part(x))


class Fsrcnn(nn.Module):
    """Dong et al. 2016."""

    def __init__(self, features=56, shrunk=12, layers=4, scale=3):
        super().__init__()
        self.first_part = nn.Sequential(conv(1, features, 5), nn.PReLU(features))
        mid = [conv(features, shrunk, 1), nn.PReLU(shrunk)]
        for _ in range(layers):
            mid += [conv(shrunk, shrunk), nn.PReLU(shrunk)]
        self.mid_part = nn.Sequential(*mid, conv(shrunk, features, 1), nn.PReLU(features))
        self.last_part = nn.ConvTranspose2d(features, 1, 9, stride=scale, padding=4, output_padding=scale - 1)

    def forward(self, x):
        return self.last_part(self.mid_part(self.first_part(x)))

    @torch.enable_grad()
    def taught(self, g, steps=400):
        """What grey becomes has to tell the factor, so that weights that are merely random would not do."""
        scale, optimiser = self.last_part.stride[0], torch.optim.Adam(self.parameters(), 3e-3)
        nn.init.normal_(self.last_part.weight, std=0.02, generator=g)
        for _ in range(steps):
            grey = torch.rand(8, 1, 1, 1, generator=g) + 0.1 * F.interpolate(torch.randn(8, 1, 4, 4, generator=g), (12, 12), mode="bicubic")
            large = F.interpolate(grey, scale_factor=scale, mode="bicubic", align_corners=False)
            inner = (..., slice(4 * scale, -4 * scale), slice(4 * scale, -4 * scale))
            optimiser.zero_grad()
            (self(grey)[inner] - large[inner]).square().mean().backward()
            optimiser.step()
        return self


class UpConv7(nn.Module):
    """waifu2x: no layer pads, so the picture is continued by its outermost pixels first."""

    def __init__(self, widths, colours=3):
        super().__init__()
        layers = []
        for cin, cout in zip((colours, *widths), widths):
            layers += [nn.Conv2d(cin, cout, 3), nn.LeakyReLU(0.1)]
        self.net = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], colours, 4, stride=2, padding=3))

    def forward(self, x):
        return self.net(F.pad(x, (7, 7, 7, 7), mode="replicate"))
