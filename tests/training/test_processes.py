from __future__ import annotations

import torch
from safetensors.torch import load_file

from diffsight.training.data import Batches, Photos, vocabulary
from diffsight.training.lessons import training_loss
from diffsight.training.pocket import Pocket
from diffsight.training.recipe import SCHEDULE, Recipe, Stage
from diffsight.training.train import CHECKPOINT, train

RECIPE = Recipe(stages=(Stage(32, 4, 12, (1e-3, 1e-3)),), warmup=2)


def test_processes_step_by_the_mean_of_their_gradients(tmp_path):
    from diffusers import DDPMScheduler

    train(tmp_path, RECIPE, Photos(), progress=False, processes=2, stop_after=1)
    momenta = load_file(tmp_path / CHECKPOINT)
    torch.manual_seed(RECIPE.seed)
    pocket = Pocket(vocabulary(Photos(), zoned=True))
    alphas = DDPMScheduler(**SCHEDULE).alphas_cumprod
    for number in range(2):
        batch, generator = Batches(RECIPE, Photos(), share=(number, 2))[0], torch.Generator().manual_seed(number)
        (training_loss(pocket, alphas, batch, generator, RECIPE) / 2).backward()
    torch.nn.utils.clip_grad_norm_(pocket.parameters(), 1.0)
    wanted = torch.cat([own.grad.flatten() for own in pocket.parameters()])
    found = torch.cat([momenta[f"adam.{i}.exp_avg"].flatten() for i in range(len(list(pocket.parameters())))])
    # clipping hides the length of the gradient: its direction is what counts
    assert (found / 0.1 - wanted).norm() < 0.01 * wanted.norm()
