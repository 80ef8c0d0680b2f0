#!/bin/sh
# One node: train/launch/torchrun.sh CARDS RECIPE DATA RUN
#   train/launch/torchrun.sh 8 omnivmed_1p5b_8x24gb /data runs/omnivmed-1p5b
# Started again with the same RUN, it goes on from the newest checkpoint.
set -eu
cards=$1 recipe=$2 data=$3 out=$4
python -m train.plan "$recipe" --gpus "${cards}x${CARD_GB:-24}"
trap : TERM INT HUP  # torchrun ends its processes; then this script says how to go on
# A process per stage: nothing of one stage's sharding is left when the next begins.
for stage in $(python -m train "$recipe" --list-stages); do
    torchrun --standalone --nproc_per_node "$cards" -m train "$recipe" \
        --data "$data" --out "$out" --workers "${WORKERS:-4}" --stage "$stage" || {
        code=$?
        echo "$stage ended with code $code: what is above says why; start the same command again to go on from the newest whole checkpoint" >&2
        exit "$code"
    }
done
