"""Random weights of networks whose results are compared."""
import math

import torch


def randomise(net, g, weights=torch.float32):
    """Every weight matters (no bias of 0, no norm of 1), outputs of order one, exact in `weights`."""
    for name, p in net.named_parameters():
        if p.dim() > 1 and "embeddings." not in name:
            value = torch.randn(p.shape, generator=g) / math.sqrt(p[0].numel())
        elif p.dim() > 1:
            value = torch.randn(p.shape, generator=g)
        elif name.endswith("bias"):
            value = torch.randn(p.shape, generator=g) * 0.2
        else:  # norms and the slopes of PReLU
            value = 1 + torch.randn(p.shape, generator=g) * 0.3
        p.data = value.to(weights).float()
    return net.eval()
