"""Write a golden file for each kind of network that is found in files of weights: tiny, random weights under the published names, an
input `in.x` and what comes out of it, `out.x`. What spandrel has is computed by spandrel, which has to know the file by itself;
the others are in `small_upscalers.py`.

    pip install -r requirements.txt && python architectures.py [--arch NAME ...] [--seed N] [--out FOLDER]"""
import argparse
import math
import re
from pathlib import Path

import torch
from safetensors.torch import save_file
from spandrel import ModelLoader
from spandrel.architectures.DnCNN import DnCNN
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.PLKSR import PLKSR, RealPLKSR
from spandrel.architectures.SAFMN import SAFMN
import spandrel.architectures.DAT.__arch.DAT as dat_module
import spandrel.architectures.SCUNet.__arch.SCUNet as scunet_module
from spandrel.architectures.CRAFT import CRAFT
from spandrel.architectures.DAT import DAT
from spandrel.architectures.DRUNet import DRUNet
from spandrel.architectures.HAT import HAT
from spandrel.architectures.OmniSR import OmniSR
from spandrel.architectures.SCUNet import SCUNet
from spandrel.architectures.SPAN import SPAN
from spandrel.architectures.SwinIR import SwinIR

from small_upscalers import Espcn, Fsrcnn, Imdn, Rlfn, SafmnPlus, UpConv7

LIMIT = 300_000
ARCHITECTURES = {}


def architecture(f):
    ARCHITECTURES[f.__name__] = f
    return f


def randomise(net, g):
    """Every weight matters, outputs of order one."""
    for name, p in net.named_parameters():
        if p.dim() > 1 and p.numel() > p.shape[0]:
            value = torch.randn(p.shape, generator=g) / math.sqrt(p[0].numel())
        elif name.endswith("bias"):
            value = torch.randn(p.shape, generator=g) * 0.2
        else:
            value = 1 + torch.randn(p.shape, generator=g) * 0.3
        p.data = value
    for name, b in net.named_buffers():
        if name.endswith("running_mean"):
            b.copy_(torch.randn(b.shape, generator=g) * 0.2)
        elif name.endswith("running_var"):
            b.copy_(torch.rand(b.shape, generator=g) + 0.5)
    return net.eval()


def known(net, g, size=(23, 18), change=lambda state: state, colours=3):
    """The file, and what spandrel makes of it once it has found out what it is."""
    state = change(dict(randomise(net, g).state_dict()))
    model = ModelLoader().load_from_state_dict(dict(state)).model.eval()
    x = torch.rand(1, colours, *size, generator=g)
    return state, x, model(x)


def own(net, g, size=(23, 18), colours=3):
    x = torch.rand(1, colours, *size, generator=g)
    randomise(net, g)
    return dict(net.state_dict()), x, net(x)


def numbered_to_named(state):
    """The newer names of ESRGAN."""
    last = max(int(m[1]) for k in state if (m := re.match(r"model\.(\d+)\.weight", k)))
    new = {}
    for k, v in state.items():
        k = re.sub(r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3.", k)
        k = re.sub(r"^model\.1\.sub\.\d+\.", "conv_body.", k)
        k = k.replace("model.0.", "conv_first.")
        k = re.sub(rf"^model\.{last}\.", "conv_last.", k)
        k = re.sub(rf"^model\.{last - 2}\.", "conv_hr.", k)
        k = re.sub(r"^model\.(\d+)\.", lambda m: f"conv_up{int(m[1]) // 3}.", k)
        new[k] = v
    return new


def named_by_parts(state):
    """The names of BSRGAN and RealSR."""
    changes = (("body.", "RRDB_trunk."), (".rdb", ".RDB"), ("conv_RRDB_trunk", "trunk_conv"), ("conv_up", "upconv"), ("conv_hr", "HRconv"))
    new = {}
    for k, v in numbered_to_named(state).items():
        for old, to in changes:
            k = k.replace(old, to)
        new[k] = v
    return new


def esrgan(g, change=lambda state: state, **config):
    net = ESRGAN(num_filters=6, num_blocks=1, **config)
    # Dense blocks of the usual 32 channels would make the file large.
    for block in net.modules():
        if type(block).__name__ == "ResidualDenseBlock_5C":
            for i in range(1, 6):
                layer = getattr(block, f"conv{i}")[0]
                to = 6 if i == 5 else 4
                new = torch.nn.Conv2d(6 + (i - 1) * 4, to, 3, padding=1)
                getattr(block, f"conv{i}")[0] = new
                assert layer.kernel_size == (3, 3)
    state = change(dict(randomise(net, g).state_dict()))
    x = torch.rand(1, 3, 13, 10, generator=g)
    return state, x, net(x)


@architecture
def esrgan_x4_numbered(g):
    return esrgan(g, scale=4)


@architecture
def esrgan_x1_numbered(g):
    return esrgan(g, scale=1)


@architecture
def esrgan_x8_numbered(g):
    return esrgan(g, scale=8)


@architecture
def esrgan_x2_parts(g):
    return esrgan(g, named_by_parts, scale=2)


@architecture
def esrgan_x2_unshuffled(g):
    return esrgan(g, numbered_to_named, scale=4, in_nc=12, shuffle_factor=2)


@architecture
def esrgan_x1_unshuffled(g):
    return esrgan(g, numbered_to_named, scale=4, in_nc=48, shuffle_factor=4)


@architecture
def span_x4(g):
    return known(SPAN(num_in_ch=3, num_out_ch=3, feature_channels=6, upscale=4), g)


@architecture
def span_x2_slim(g):
    """Without the mean, and with nothing but what is computed with."""
    net = SPAN(num_in_ch=3, num_out_ch=3, feature_channels=6, upscale=2, norm=False)
    state, x, y = known(net, g)
    model = ModelLoader().load_from_state_dict(dict(state)).model.eval()
    model(x)
    return {k: v for k, v in model.state_dict().items() if ".sk." not in k and ".conv." not in k}, x, y


@architecture
def rlfn_x4(g):
    return own(Rlfn(10, 12, 4, 4, 4), g, (26, 23))


@architecture
def espcn_x3(g):
    return own(Espcn((8, 6), 3), g, colours=1)


def fsrcnn(g, scale):
    torch.manual_seed(int(torch.randint(2**31, (1,), generator=g)))
    net, x = Fsrcnn(10, 5, 2, scale).taught(g), torch.rand(1, 1, 23, 18, generator=g)
    return dict(net.state_dict()), x, net(x)


@architecture
def fsrcnn_x2(g):
    return fsrcnn(g, 2)


@architecture
def fsrcnn_x3(g):
    return fsrcnn(g, 3)


@architecture
def fsrcnn_x4(g):
    return fsrcnn(g, 4)


@architecture
def imdn_x3(g):
    return own(Imdn(16, 3, 4, 3), g)


@architecture
def upconv7_x2(g):
    return own(UpConv7((6, 8, 10, 12, 34, 36)), g)


@architecture
def safmn_x4(g):
    return known(SAFMN(dim=12, n_blocks=2, ffn_scale=2.0, upscaling_factor=4), g, (29, 27))


@architecture
def safmnpp_x4(g):
    return own(SafmnPlus(12, 18, 2, 4), g, (29, 27))


@architecture
def plksr_x4(g):
    return known(PLKSR(dim=16, n_blocks=2, upscaling_factor=4, kernel_size=13), g)


@architecture
def plksr_x2_doubled(g):
    return known(PLKSR(dim=16, n_blocks=1, upscaling_factor=2, ccm_type="DCCM", kernel_size=9, use_ea=False), g)


@architecture
def realplksr_x4(g):
    return known(RealPLKSR(dim=16, n_blocks=2, upscaling_factor=4, kernel_size=9), g)


@architecture
def realplksr_x2_layer(g):
    return known(RealPLKSR(dim=16, n_blocks=2, upscaling_factor=2, kernel_size=9, layer_norm=True), g)


@architecture
def dncnn_grey(g):
    return known(DnCNN(in_nc=1, out_nc=1, nc=8, nb=17, act_mode="R"), g, colours=1)


@architecture
def dncnn_colour_normalised(g):
    return known(DnCNN(in_nc=3, out_nc=3, nc=8, nb=17, act_mode="BR"), g)


def narrowed(net, width):
    """The part that enlarges, which is always 64 channels wide, with fewer."""
    for name, layer in list(net.named_modules()):
        if not isinstance(layer, torch.nn.Conv2d) or not name.split(".")[0] in (
            "conv_before_upsample", "upsample", "conv_up1", "conv_up2", "conv_hr", "conv_last",
        ):
            continue
        to = lambda channels: channels // 64 * width if channels % 64 == 0 else channels
        holder, _, own_name = name.rpartition(".")
        holder = net.get_submodule(holder) if holder else net
        new = torch.nn.Conv2d(to(layer.in_channels), to(layer.out_channels), 3, padding=1)
        if own_name.isdigit():
            holder[int(own_name)] = new
        else:
            setattr(holder, own_name, new)
    return net


def transformer(net, g, size, colours=3):
    """Of narrower layers than spandrel knows, but its code."""
    randomise(net, g)
    x = torch.rand(1, colours, *size, generator=g)
    return dict(net.state_dict()), x, net(x)


def swinir(g, upsampler, upscale, window=4, size=(13, 18), colours=3, **more):
    net = SwinIR(
        img_size=4 * window, window_size=window, embed_dim=12, depths=[2, 2], num_heads=[2, 2], mlp_ratio=2, upscale=upscale,
        upsampler=upsampler, in_chans=colours, **more,
    )
    return transformer(narrowed(net, 8), g, size, colours)


@architecture
def swinir_x4_shuffle(g):
    return swinir(g, "pixelshuffle", 4, size=(9, 6))


@architecture
def swinir_x2_direct(g):
    return swinir(g, "pixelshuffledirect", 2)


@architecture
def swinir_x4_nearest(g):
    return swinir(g, "nearest+conv", 4, size=(9, 6), resi_connection="3conv")


@architecture
def swinir_x1_jpeg(g):
    return swinir(g, "", 1, window=7, colours=1, img_range=255.0)


@architecture
def hat_x2(g):
    net = HAT(
        img_size=16, window_size=4, embed_dim=12, depths=[2], num_heads=[2], mlp_ratio=2, upscale=2, compress_ratio=3,
        squeeze_factor=4, num_feat=64,
    )
    return transformer(narrowed(net, 8), g, (13, 18))


@architecture
def craft_x2(g):
    net = CRAFT(embed_dim=32, depths=[1], num_heads=[4], split_size_0=2, split_size_1=8, mlp_ratio=1.0, upscale=2)
    return known(net, g, (21, 9))


@architecture
def dat_x4_shuffle(g):
    bias = dat_module.DynamicPosBias
    # A network of this width would have no room for distances.
    dat_module.DynamicPosBias = lambda _, *more, **named: bias(20, *more, **named)
    net = DAT(
        img_size=16, embed_dim=16, split_size=[4, 8], depth=[4, 3], num_heads=[4, 2], expansion_factor=4.0, upscale=4,
        resi_connection="3conv",
    )
    dat_module.DynamicPosBias = bias
    return transformer(narrowed(net, 8), g, (13, 18))


@architecture
def dat_x2_direct(g):
    net = DAT(
        img_size=16, embed_dim=32, split_size=[2, 8], depth=[3], num_heads=[4], expansion_factor=2.0, upscale=2,
        upsampler="pixelshuffledirect", qkv_bias=False,
    )
    return known(net, g, (21, 16))


@architecture
def omnisr_x4(g):
    return known(OmniSR(num_feat=12, block_num=2, res_num=2, window_size=4, up_scale=4), g, (25, 18))


@architecture
def omnisr_x2_plain(g):
    """Without distances, which alone would tell the size of the windows."""
    return known(OmniSR(num_feat=24, block_num=1, res_num=1, pe=False, window_size=8, up_scale=2, bias=False), g, (19, 33))


@architecture
def drunet_colour(g):
    net = DRUNet(in_nc=4, out_nc=3, nc=[6, 8, 10, 12], nb=2, act_mode="R", downsample_mode="strideconv", upsample_mode="convtranspose")
    state = dict(randomise(net, g).state_dict())
    x = torch.rand(1, 3, 24, 16, generator=g)
    model = ModelLoader().load_from_state_dict(dict(state)).model.eval()
    noise = torch.full((1, 1, 24, 16), 15 / 255)  # what spandrel tells it
    return state, x, model(torch.cat([x, noise], 1))


@architecture
def scunet(g):
    blocks = scunet_module.ConvTransBlock
    # Heads are always 32 channels wide.
    scunet_module.ConvTransBlock = lambda conv, trans, _, *more: blocks(conv, trans, 2, *more)
    net = SCUNet(config=[2, 1, 1, 2, 1, 1, 1], dim=4)
    scunet_module.ConvTransBlock = blocks
    return transformer(net, g, (40, 67))


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--arch", nargs="+", choices=ARCHITECTURES, default=list(ARCHITECTURES), metavar="NAME")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "golden" / "architectures")
    args = p.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.arch:
        state, x, y = ARCHITECTURES[name](torch.Generator().manual_seed(args.seed))
        tensors = {k: v.contiguous().clone() for k, v in state.items() if v.is_floating_point() and "attn_mask" not in k}
        path = args.out / f"{name}.safetensors"
        save_file(tensors | {"in.x": x, "out.x": y.contiguous()}, path)
        size = path.stat().st_size
        print(f"{path.name}: {len(tensors)} weights, {size} bytes; x{y.shape[2] / x.shape[2]:g}, spread {y.std():.3f}")
        if size > LIMIT:
            raise SystemExit(f"`{path.name}` is larger than {LIMIT} bytes; make its widths smaller")


if __name__ == "__main__":
    main()
