#!/usr/bin/env bash
# Train on an archive as it is: a zip (or tar) whose folders are classes, such as CIFAR-10 saved as pictures. Nothing is unpacked.
#
#     examples/cifar10_from_zip.sh cifar10.zip             # ten classes of 32 pixels, 20 minutes
#     examples/cifar10_from_zip.sh cifar10.zip 2h
#     examples/cifar10_from_zip.sh                         # no archive at hand: the sample tiles, zipped
#
# CIFAR-10 names no licence (its photographs belong to those who took them), so it is not part of artgen. Get it as pictures in class
# folders; its original pickles are not read, since a pickle can run any code.
set -euo pipefail

archive=${1:-}
budget=${2:-20m}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=art/classes-$(date +%Y%m%d-%H%M%S)
mkdir -p "$work"

if [ -z "$archive" ]; then
  archive=$work/tiles.zip
  python -c 'import shutil, sys; shutil.make_archive(sys.argv[1], "zip", sys.argv[2])' "${archive%.zip}" "$here/data/tiles"
fi
case $budget in *[smh]) asked=(--minutes "$budget") ;; *) asked=(--steps "$budget") ;; esac

artgen image prepare "$archive" --output "$work/dataset" --resolution 32
artgen image train "$work/dataset" --output "$work/run" --preset brief --batch-size 16 "${asked[@]}"

# The model has learnt the classes: each can be asked for by its name.
artgen show "$work/dataset" --json |
  python -c 'import json, sys; print("\n".join(json.load(sys.stdin)["classes"]))' |
  while IFS= read -r class; do
    artgen image generate --model "$work/run" --class "$class" --seed 0 --grid 8x1 --output "$work/$class.png" </dev/null
  done
