"""What every test process begins with: its threads, and a Ctrl-C that works.

Two threads, or one where two processes share the machine's two cores.
"""

import os
import signal

import torch

# A suite started in the background has SIGINT ignored and would hand that on to its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
