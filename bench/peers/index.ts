/** The peers that the bench knows. Those that are not installed are listed with the command that installs them. */
import type { Peer } from '../types.ts'
import { javascript } from './javascript.ts'
import { onnxruntime } from './onnxruntime.ts'
import { pythonPeer } from './python.ts'

const debian = 'apt-get install -y python3-torch libopenblas0-pthread'

export const peers: readonly Peer[] = [
  onnxruntime,
  pythonPeer('torch', 'numpy, torch', 'torch_peer.py', `${debian}, or pip install torch numpy`),
  pythonPeer('numpy', 'numpy', 'numpy_peer.py', `${debian}, or pip install numpy`),
  javascript,
]
