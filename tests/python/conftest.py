"""Threads of every test process: two, or one where two processes share the machine's two cores."""

import os

import torch

torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
