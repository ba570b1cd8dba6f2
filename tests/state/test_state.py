"""The teacher and the queue: what moves, by how much, and that nothing moves by itself."""

from __future__ import annotations

import torch
from torch import nn

from chiasm.state.queue import Queue
from chiasm.state.teacher import Teacher


def test_the_teacher_follows_weights_and_running_statistics_and_copies_other_buffers() -> None:
    student = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    student.register_buffer("seen", torch.zeros(2))
    teacher = Teacher(student)
    before = {name: tensor.clone() for name, tensor in teacher.module.state_dict().items()}
    student.train()(torch.randn(8, 3) * 5 + 1)  # moves the statistics
    with torch.no_grad():
        student[0].weight.add_(1.0)
        student.get_buffer("seen").fill_(7.0)
    teacher.follow(student, 0.9)
    now, theirs = teacher.module.state_dict(), student.state_dict()
    for name in ("0.weight", "1.running_mean", "1.running_var"):
        torch.testing.assert_close(now[name], 0.9 * before[name] + 0.1 * theirs[name])
        assert not torch.equal(now[name], before[name])
    assert torch.equal(now["seen"], theirs["seen"]) and now["1.num_batches_tracked"] == 1


def test_the_teacher_stays_in_evaluation_mode_and_takes_no_gradient() -> None:
    teacher = Teacher(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)))
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    out = nn.ModuleList([teacher]).train()[0](torch.randn(8, 3, requires_grad=True))
    assert not out.requires_grad and not any(p.requires_grad for p in teacher.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())


def test_the_queue_replaces_the_oldest_and_keeps_the_last_of_too_many() -> None:
    torch.manual_seed(0)
    queue = Queue(5, 2)
    first = queue.keys.clone()
    torch.testing.assert_close(first.norm(dim=1), torch.ones(5))
    keys = torch.arange(14.0).view(7, 2)
    queue.push(keys[:3])
    assert torch.equal(queue.keys, torch.cat([keys[:3], first[3:]])) and int(queue.at) == 3
    queue.push(keys[3:6])
    assert torch.equal(queue.keys, torch.cat([keys[5:6], keys[1:3], keys[3:5]])) and int(queue.at) == 1
    queue.push(keys)
    assert sorted(queue.keys[:, 0].tolist()) == sorted(keys[2:, 0].tolist())
