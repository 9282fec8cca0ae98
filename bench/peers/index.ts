/** The peers that the bench knows. Those that are not installed are listed with the command that installs them. */
import type { Peer } from '../types.ts'
import { javascript } from './javascript.ts'
import { onnxruntime } from './onnxruntime.ts'
import { pythonPeer } from './python.ts'
import { tensorflow } from './tensorflow.ts'

const debian = 'apt-get install -y python3-torch libopenblas0-pthread'

export const peers: readonly Peer[] = [
  onnxruntime,
  pythonPeer({
    name: 'torch',
    modules: 'numpy, torch',
    script: 'torch_peer.py',
    install: `${debian}, or pip install torch numpy`,
  }),
  // Whole steps are held against PyTorch with the BLAS that ours is held against, whatever other PyTorch comes first.
  pythonPeer({
    name: 'torch-openblas',
    modules: 'numpy, torch',
    special: { condition: 'not torch.backends.mkl.is_available()', says: 'without MKL' },
    script: 'torch_peer.py',
    install: debian,
    // PyTorch's threads (OpenMP) wait for work by spinning, and take the cores from OpenBLAS's own.
    settings: { OMP_WAIT_POLICY: 'PASSIVE' },
    ops: ['ppoStep', 'dpoStep'],
  }),
  pythonPeer({
    name: 'numpy',
    modules: 'numpy',
    script: 'numpy_peer.py',
    install: `${debian}, or pip install numpy`,
    ops: ['linear'],
  }),
  tensorflow,
  javascript,
]
