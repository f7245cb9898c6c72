#!/bin/bash
# Evaluators as a Slurm job array, one a node. From the submitting shell:
# sbatch --export=ALL,LCBQ_NATS=tls://HOST:4222,LCBQ_CREDS=$HOME/evaluator.creds slurm-evaluate.sh
#SBATCH --job-name=lcbq-evaluate
#SBATCH --array=0-7
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=32
#SBATCH --mem-per-cpu=2G
#SBATCH --time=24:00:00
#SBATCH --open-mode=append
#SBATCH --requeue
# Two minutes before the time is over Slurm sends SIGTERM, to this shell alone (B:). lcbq takes
# the shell's place, drains within 20 s and gives back what is not judged then.
#SBATCH --signal=B:TERM@120
set -eu
: "${LCBQ_NATS:?set it to the address of the server, tls://HOST:4222}"
# It waits for the server, serves every run, and ends after ten minutes without work. LCBQ_CREDS is read by lcbq itself.
exec lcbq evaluate --nats "$LCBQ_NATS" --wait --evaluators "${SLURM_CPUS_PER_TASK:-auto}" --until-idle 10m
