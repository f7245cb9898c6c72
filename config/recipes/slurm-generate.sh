#!/bin/bash
# Generators as a Slurm job array, one a node, with vLLM on each GPU that Slurm gives it. From the submitting shell:
# sbatch --export=ALL,LCBQ_NATS=tls://HOST:4222,LCBQ_CREDS=$HOME/generator.creds slurm-generate.sh
#SBATCH --job-name=lcbq-generate
#SBATCH --array=0-3
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --mem=0
#SBATCH --time=24:00:00
#SBATCH --open-mode=append
#SBATCH --requeue
# Two minutes before the time is over Slurm sends SIGTERM, to this shell alone (B:). lcbq takes
# the shell's place, drains, and gives back the units that are not done.
#SBATCH --signal=B:TERM@120
set -eu
: "${LCBQ_NATS:?set it to the address of the server, tls://HOST:4222}"
# Slurm says by CUDA_VISIBLE_DEVICES which GPUs are the job's. LCBQ_CREDS is read by lcbq itself.
exec lcbq generate --nats "$LCBQ_NATS" --wait --logs "lcbq-logs/${SLURM_JOB_ID:-0}" --until-idle 30m
