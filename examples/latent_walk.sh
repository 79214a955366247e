#!/usr/bin/env bash
# A film of a model wandering from picture to picture: an MP4, and a GIF for the web.
#
#     examples/latent_walk.sh                      # the starter model
#     examples/latent_walk.sh runs/fruit 10s       # your own, ten seconds
set -euo pipefail

model=${1:-}
length=${2:-4s}

mkdir -p art
for film in art/walk.mp4 art/walk.gif; do
  artgen image generate ${model:+--model "$model"} --seed 7 --walk "$length" --output "$film"
done
