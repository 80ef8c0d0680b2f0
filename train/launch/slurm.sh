#!/bin/sh
# Several nodes: sbatch --nodes 2 train/launch/slurm.sh RECIPE DATA RUN
# The job asks to be put back in the queue shortly before its time ends; a run folder resumes by itself.
#SBATCH --job-name=omnivmed
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -eu
recipe=$1 data=$2 out=$3
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
trap 'scontrol requeue "$SLURM_JOB_ID"' USR1
for stage in $(python -m train "$recipe" --list-stages); do
    srun torchrun --nnodes "$SLURM_NNODES" --nproc_per_node "${SLURM_GPUS_ON_NODE:-8}" \
        --rdzv_backend c10d --rdzv_endpoint "$head:29500" --rdzv_id "$SLURM_JOB_ID-$stage" \
        -m train "$recipe" --data "$data" --out "$out" --workers "${WORKERS:-6}" --stage "$stage" &
    wait $!
done
