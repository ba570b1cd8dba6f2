"""What the fixture `forkserver` runs once, before it forks: what a training run or a build does only once in a process."""

import torch._dynamo  # noqa: F401  an optimizer imports it at its first step

import chiasm.dataset.engine
import chiasm.train.run  # noqa: F401
from chiasm.dataset.language import guess_language

guess_language("The model is read at the first text.")
