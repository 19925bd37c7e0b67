"""Trains a small model privately with Opacus and prints the certified epsilon after each epoch.

    python examples/python/opacus_epochs.py --epochs 5 --check build/release/cli/dpflash

With --check, the dpflash command is asked about the same steps, and must give the same epsilon to the last digit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator
from typing import Optional

import torch
from opacus import PrivacyEngine
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dpflash.compat.opacus import DpflashAccountant, register

FEATURES = 20
HELD_OUT = 1000


def two_classes(records: int, seed: int) -> tuple[TensorDataset, TensorDataset]:
    """Records of two overlapping classes, one label in twenty wrong, split into training and held-out data."""
    generator = torch.Generator().manual_seed(seed)
    total = records + HELD_OUT
    labels = torch.randint(0, 2, (total,), generator=generator)
    direction = torch.randn(FEATURES, generator=generator)
    direction *= 1.5 / direction.norm()
    features = torch.randn(total, FEATURES, generator=generator) + (2 * labels[:, None] - 1) * direction
    wrong = torch.rand(total, generator=generator) < 0.05
    labels = torch.where(wrong, 1 - labels, labels)
    return TensorDataset(features[:records], labels[:records]), TensorDataset(features[records:], labels[records:])


def accuracy(model: nn.Module, data: TensorDataset) -> float:
    """Share of records that get their label."""
    features, labels = data.tensors
    with torch.no_grad():
        return (model(features).argmax(dim=1) == labels).double().mean().item()


def train(arguments: argparse.Namespace) -> Iterator[tuple[float, float, DpflashAccountant]]:
    """Yields mean loss, accuracy on held-out data and the accountant after each epoch."""
    torch.manual_seed(arguments.seed)
    training, held_out = two_classes(arguments.records, arguments.seed)
    model = nn.Sequential(nn.Linear(FEATURES, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    loader = DataLoader(training, batch_size=arguments.batch)

    register()
    engine = PrivacyEngine(accountant="dpflash")
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=optimizer,
        data_loader=loader,
        noise_multiplier=arguments.noise_multiplier,
        max_grad_norm=1.0,
    )
    loss_of = nn.CrossEntropyLoss()
    for _ in range(arguments.epochs):
        losses = []
        for features, labels in loader:
            optimizer.zero_grad()
            if len(labels) > 0:
                loss = loss_of(model(features), labels)
                losses.append(loss.item())
            else:  # a Poisson sample may be empty; its step is noise alone, and is counted
                loss = model(features).sum()
            loss.backward()
            optimizer.step()
        yield sum(losses) / max(1, len(losses)), accuracy(model, held_out), engine.accountant


def epsilon_of_command(command: str, delta: float, accountant: DpflashAccountant) -> float:
    """The upper end that the dpflash command gives for the accountant's steps, of one noise and rate."""
    ((noise_multiplier, sample_rate, steps),) = accountant.history
    line = [command, "epsilon", "--delta", repr(delta), "--noise-multiplier", repr(noise_multiplier)]
    line += ["--sampling-rate", repr(sample_rate), "--steps", str(steps), "--format", "json"]
    answer = json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout)
    upper = answer["epsilon"]["upper"]
    return float("inf") if upper is None else upper


def arguments_of(line: Optional[list[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Private training with Opacus; certified epsilon after each epoch.")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--records", type=int, default=4000, help="training records")
    parser.add_argument("--batch", type=int, default=125, help="expected records in a batch")
    parser.add_argument("--noise-multiplier", type=float, default=1.0, help="noise over the clipping norm")
    parser.add_argument("--delta", type=float, default=1e-5, help="in (0, 1); below 1 / records")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", metavar="COMMAND", help="path of the dpflash command, to compare with")
    return parser.parse_args(line)


def main(line: Optional[list[str]] = None) -> int:
    """Prints a row for each epoch; 1 when the command disagrees, otherwise 0."""
    arguments = arguments_of(line)
    print(f"{arguments.records} records, noise multiplier {arguments.noise_multiplier}, delta {arguments.delta}")
    print("epoch  steps  loss    accuracy  epsilon")
    different = 0
    for epoch, (loss, share, accountant) in enumerate(train(arguments), start=1):
        epsilon = accountant.get_epsilon(arguments.delta)
        steps = sum(entry[2] for entry in accountant.history)
        print(f"{epoch:<5}  {steps:<5}  {loss:.4f}  {share:.3f}     {epsilon!r}")
        if arguments.check:
            expected = epsilon_of_command(arguments.check, arguments.delta, accountant)
            if epsilon != expected:
                print(f"DIFFERENT: {arguments.check} gives {expected!r} after {steps} steps")
                different += 1
    if arguments.check and not different:
        print(f"checked: the same as {arguments.check}, to the last digit, in all {arguments.epochs} epochs")
    return 1 if different else 0


if __name__ == "__main__":
    raise SystemExit(main())
