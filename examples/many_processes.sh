#!/usr/bin/env bash
# Train on several processes, make pictures with several, and see that one process makes the very same bytes.
#
#     examples/many_processes.sh 2                 # two processes on this machine
#     examples/many_processes.sh 2 1000            # ... for a thousand steps
#
# On several machines, start the same torchrun line on each with --nnodes, --node-rank and --master-addr; on GPUs
# give as many processes as there are GPUs.
set -euo pipefail

processes=${1:-2}
steps=${2:-100}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=art/many-$(date +%Y%m%d-%H%M%S)

artgen image prepare "$here/data/tiles" --output "$work/dataset" --resolution 32
torchrun --nproc-per-node "$processes" -m artgen image train "$work/dataset" --output "$work/run" \
  --preset sketch --batch-size 16 --steps "$steps" --previews 2

torchrun --nproc-per-node "$processes" -m artgen image generate --model "$work/run" -n 8 --seed 0 --output "$work/several/"
artgen image generate --model "$work/run" -n 8 --seed 0 --output "$work/one/"
diff --recursive "$work/several" "$work/one"
echo "$processes processes and one made the same bytes: $work"
