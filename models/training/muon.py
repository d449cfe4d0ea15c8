"""Muon (orthogonalised momentum) for the trunk convolutions, with Adam for everything else."""
import torch


def orthogonalise(g, steps=5):
    """Newton-Schulz: nearly the nearest (semi-)orthogonal matrices to a batch of wide matrices; bf16 is exact enough."""
    x = (g / (g.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.to(g.dtype)


def trunk(net):
    """The convolutions of the blocks of a detail network, in groups of one shape, and all other parameters by name."""
    named = dict(net.named_parameters())
    blocks = {k: q for k, q in named.items() if ".conv" in k and q.dim() == 4}
    groups = [[q for q in blocks.values() if q.shape == s] for s in sorted({q.shape for q in blocks.values()})]
    return groups, {k: q for k, q in named.items() if k not in blocks}


class Muon(torch.optim.Optimizer):
    """For convolutions of one common shape; the update's RMS is 0.2, so that Adam's learning rates fit."""

    def __init__(self, params, lr, momentum=0.95):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            ps = group["params"]
            g = torch.stack([p.grad.reshape(len(p), -1) for p in ps])
            state = self.state[ps[0]]
            m = state.setdefault("momentum", torch.zeros_like(g))
            m.lerp_(g, 1 - group["momentum"])
            u = orthogonalise(g.lerp(m, group["momentum"]))
            u *= 0.2 * max(u.shape[1:]) ** 0.5 * group["lr"]
            for p, d in zip(ps, u):
                p.sub_(d.reshape(p.shape))
