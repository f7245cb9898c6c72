#!/bin/bash
# Start command of RunPod pods: one with GPUs measures, pods without GPUs judge for it.
#
# The pod with GPUs, from an image that has vLLM, with a network volume at /workspace, lcbq in /workspace/bin, and TCP
# port 4222 exposed:
#   bash /workspace/bin/runpod-start.sh gpu --problems v6 --n 1000
# It writes /workspace/lcbq/helper.creds. Its text in base64 is the helpers' secret: base64 -w0 helper.creds
#
# A helper, a CPU pod whose image has python3 with numpy, and lcbq in its path. LCBQ_NATS is the public address of the
# other pod's port 4222, HELPER_TOKEN={{ RUNPOD_SECRET_lcbq }}:
#   bash runpod-start.sh helper
#
# A pod whose command has ended is still paid for: stop it. The volume holds what a next pod goes on with.
set -eu
usage() {
  echo "usage: runpod-start.sh gpu [FLAGS OF A RUN], or runpod-start.sh helper" >&2
  exit 2
}
[ $# -ge 1 ] || usage
part=$1
shift
home=${KEEP_IN:-/workspace/lcbq}
PATH=/workspace/bin:$PATH

case $part in
gpu)
  # The queue is in the results folder on the volume. Its keys ask everybody for a token, and for TLS.
  [ -e "$home/out/.lcbq/keys.json" ] || lcbq server init --store-dir "$home/out/.lcbq"
  [ -e "$home/helper.creds" ] || lcbq token --role evaluator --name helper --ttl 720h --store-dir "$home/out/.lcbq" --to "$home/helper.creds"
  # lcbq takes the shell's place, so that RunPod's SIGTERM reaches it. A spot pod has about five seconds then: what
  # was acknowledged is on the volume, the rest is made again. Small units lose less.
  exec lcbq run --listen "${LCBQ_LISTEN:-0.0.0.0:4222}" --unit-size 20 --output-dir "$home/out" "$@"
  ;;
helper)
  [ $# = 0 ] || usage
  : "${LCBQ_NATS:?set it to the address of the other pod, tls://IP:PORT}"
  : "${HELPER_TOKEN:?set it to the secret, helper.creds in base64}"
  creds=$(mktemp) # readable by its owner alone
  base64 -d <<<"$HELPER_TOKEN" >"$creds"
  unset HELPER_TOKEN
  exec lcbq evaluate --nats "$LCBQ_NATS" --creds "$creds" --wait --until-idle 30m
  ;;
*) usage ;;
esac
