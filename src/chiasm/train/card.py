"""The model card that travels with every checkpoint."""

from __future__ import annotations

from torch import nn

from chiasm.config import RunConfig, SystemRunConfig


def model_card(config: RunConfig, model: nn.Module, step: int, seconds: float, finished: bool) -> str:
    parameters = sum(p.numel() for p in model.parameters())
    state = "finished" if finished else "in training"
    if config.tasks:
        return _converting_card(config, parameters, step, seconds, state)
    return f"""# {config.system}: a cross-modal embedding model

- Modalities: {", ".join(config.data.modalities)}; embedding width {config.model.embedding}; {parameters:,} parameters, float32
- Trained on `{config.data.table}`, split `{config.data.train_split}`, for {step:,} steps ({seconds / 60:.1f} minutes); {state}
- Objective: {config.objective.contrastive} over every pair of modalities; batch {config.train.batch:,} records
- Exact configuration: `config.yaml`; read it with `chiasm.load(RUN)`

## Limits
It knows what its training table shows and nothing else. Measure it on your own data (`chiasm evaluate RUN TABLE`) before you rely on it, for
each group of people it will serve; similarity is no judgement of truth.
"""


def _converting_card(config: RunConfig, parameters: int, step: int, seconds: float, state: str) -> str:
    tasks = "\n".join(
        f"| {name if task.part_of is None else f'{name} (of {task.part_of})'} | {' + '.join(map(str, task.given))} | {task.wanted} "
        f"| `{task.table or config.data.table}` |"
        for name, task in config.tasks.items()
    )
    init = config.conversion.init
    begun = "" if init is None else f"\n- Began with the weights of `{init}`: what that run learned is in them as well"
    return f"""# {config.system}: a model that converts

- {parameters:,} parameters, float32, quantisers included; embedding width {config.model.embedding}
- Trained on split `{config.data.train_split}` of the tables below:
  {step:,} steps ({seconds / 60:.1f} minutes), {config.train.batch:,} examples each;
  {state}{begun}
- Exact configuration: `config.yaml`; use it with `chiasm convert RUN` or `chiasm.load(RUN)`

| task | given | wanted | table |
|---|---|---|---|
{tasks}

## Limits
It knows what its training tables show and nothing else, and it answers also where it knows nothing. Measure it on your own data
(`chiasm evaluate RUN TABLE`) before you rely on it, for each group of people it will serve.
"""


def system_card(
    config: SystemRunConfig, title: str, paper: str, model: nn.Module, step: int, seconds: float, finished: bool
) -> str:
    parameters = sum(p.numel() for p in model.parameters())
    state = "finished" if finished else "in training"
    return f"""# {title} ({config.size})

- Paper: {paper}
- {parameters:,} parameters, float32, teachers included
- Trained on `{config.data.table}`, split `{config.data.train_split}`, for {step:,} steps ({seconds / 60:.1f} minutes); {state}
- Batch: {config.train.batch:,} records
- Exact configuration: `config.yaml`; what its shape depends on: `system.json`

## Limits
It knows what its training table shows and nothing else: measure it on your own data before you rely on it.
"""
