"""Fast inference of released networks on a CPU.

`accelerate` swaps a network's layers for subclasses that compute the same faster. With the environment
variable EQSSL_FAST_CPU=0 it leaves the network as it is, and layers that were swapped earlier compute like
plain ones.
"""

from eqssl.fast_cpu.swap import accelerate

__all__ = ["accelerate"]
