"""The two families of upscalers whose weights people bring along, written as plain torch, with the key names of the
published files. `bench/peers` measures the same modules at full size."""
import torch
import torch.nn.functional as F
from torch import nn


def conv(cin, cout):
    return nn.Conv2d(cin, cout, 3, padding=1)


class Srvgg(nn.Module):
    """SRVGGNetCompact: 3x3 convolutions with PReLU at the size of the input; the result is added to the input's nearest
    enlargement. Keys: body.0, body.1, ..."""

    def __init__(self, features=64, convs=16, scale=4):
        super().__init__()
        self.scale = scale
        layers = [conv(3, features), nn.PReLU(features)]
        for _ in range(convs):
            layers += [conv(features, features), nn.PReLU(features)]
        self.body = nn.Sequential(*layers, conv(features, 3 * scale * scale))

    def forward(self, x):
        near = F.interpolate(x, scale_factor=self.scale, mode="nearest")
        return F.pixel_shuffle(self.body(x), self.scale) + near


class Dense(nn.Module):
    """Five convolutions, each seeing all that came before it."""

    def __init__(self, features, grow):
        super().__init__()
        for i in range(1, 6):
            setattr(self, f"conv{i}", conv(features + (i - 1) * grow, grow if i < 5 else features))

    def forward(self, x):
        seen = x
        for i in range(1, 5):
            new = F.leaky_relu(getattr(self, f"conv{i}")(seen), 0.2)
            seen = torch.cat([seen, new], 1)
        return x + 0.2 * self.conv5(seen)


class Rrdb(nn.Module):
    """Residual in residual: three dense blocks."""

    def __init__(self, features, grow):
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (Dense(features, grow) for _ in range(3))

    def forward(self, x):
        return x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))


class RrdbNet(nn.Module):
    """RRDBNet x4: the blocks at the size of the input, then two nearest enlargements by 2, each with a convolution."""

    def __init__(self, features=64, blocks=23, grow=32):
        super().__init__()
        self.conv_first = conv(3, features)
        self.body = nn.Sequential(*(Rrdb(features, grow) for _ in range(blocks)))
        self.conv_body = conv(features, features)
        self.conv_up1, self.conv_up2 = conv(features, features), conv(features, features)
        self.conv_hr, self.conv_last = conv(features, features), conv(features, 3)

    def forward(self, x):
        x = self.conv_first(x)
        x = x + self.conv_body(self.body(x))
        for up in (self.conv_up1, self.conv_up2):
            x = F.leaky_relu(up(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        return self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))
