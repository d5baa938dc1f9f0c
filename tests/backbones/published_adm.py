"""ADM as its authors describe it (arXiv 2105.05233) and name its weights, written plainly: the converter's measure.

Attention forms its whole map, blocks are lists, nothing is shared with the package.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


def timestep_embedding(timesteps, width):
    frequencies = torch.exp(-math.log(10000) * torch.arange(width // 2) / (width // 2))
    angles = timesteps[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class ResBlock(nn.Module):
    def __init__(self, inputs, outputs, embedding, resample=None):
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(32, inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * outputs))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, outputs), nn.SiLU(), nn.Dropout(0), nn.Conv2d(outputs, outputs, 3, padding=1)
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.resample = resample

    def forward(self, x, embedding):
        norm, activation, convolution = self.in_layers
        hidden = activation(norm(x))
        if self.resample == "down":
            x, hidden = F.avg_pool2d(x, 2), F.avg_pool2d(hidden, 2)
        if self.resample == "up":
            x, hidden = (F.interpolate(t, scale_factor=2, mode="nearest") for t in (x, hidden))
        hidden = convolution(hidden)
        scale, shift = self.emb_layers(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden = self.out_layers[0](hidden) * (1 + scale) + shift
        return self.skip_connection(x) + self.out_layers[1:](hidden)


class AttentionBlock(nn.Module):
    def __init__(self, channels, head_channels):
        super().__init__()
        self.heads = channels // head_channels
        self.norm = nn.GroupNorm(32, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x, _embedding):
        batch, channels, height, width = x.shape
        flat = x.reshape(batch, channels, -1)
        qkv = self.qkv(self.norm(flat)).reshape(batch * self.heads, 3 * channels // self.heads, -1)
        query, key, value = qkv.chunk(3, dim=1)
        scale = (channels // self.heads) ** -0.25
        weight = torch.einsum("bct,bcs->bts", query * scale, key * scale).softmax(dim=-1)
        mixed = torch.einsum("bts,bcs->bct", weight, value).reshape(batch, channels, -1)
        return (flat + self.proj_out(mixed)).reshape(batch, channels, height, width)


class PublishedAdm(nn.Module):
    def __init__(self, channels, multipliers, layers, attention_factors, head_channels):
        super().__init__()
        self.channels = channels
        embedding = 4 * channels
        self.time_embed = nn.Sequential(nn.Linear(channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(3, channels, 3, padding=1)])])
        kept, width, factor = [channels], channels, 1
        for level, multiplier in enumerate(multipliers):
            for _ in range(layers):
                block = [ResBlock(width, multiplier * channels, embedding)]
                width = multiplier * channels
                if factor in attention_factors:
                    block.append(AttentionBlock(width, head_channels))
                self.input_blocks.append(nn.ModuleList(block))
                kept.append(width)
            if level < len(multipliers) - 1:
                self.input_blocks.append(nn.ModuleList([ResBlock(width, width, embedding, "down")]))
                kept.append(width)
                factor *= 2
        self.middle_block = nn.ModuleList(
            [ResBlock(width, width, embedding), AttentionBlock(width, head_channels), ResBlock(width, width, embedding)]
        )
        self.output_blocks = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for i in range(layers + 1):
                block = [ResBlock(width + kept.pop(), multiplier * channels, embedding)]
                width = multiplier * channels
                if factor in attention_factors:
                    block.append(AttentionBlock(width, head_channels))
                if level and i == layers:
                    block.append(ResBlock(width, width, embedding, "up"))
                    factor //= 2
                self.output_blocks.append(nn.ModuleList(block))
        self.out = nn.Sequential(nn.GroupNorm(32, width), nn.SiLU(), nn.Conv2d(width, 6, 3, padding=1))

    def forward(self, x, timesteps):
        """The prediction, and the output of every output block."""
        embedding = self.time_embed(timestep_embedding(timesteps, self.channels))
        kept, outputs = [], []
        for block in self.input_blocks:
            for layer in block:
                x = layer(x) if isinstance(layer, nn.Conv2d) else layer(x, embedding)
            kept.append(x)
        for layer in self.middle_block:
            x = layer(x, embedding)
        for block in self.output_blocks:
            x = torch.cat([x, kept.pop()], dim=1)
            for layer in block:
                x = layer(x, embedding)
            outputs.append(x)
        return self.out(x), outputs
