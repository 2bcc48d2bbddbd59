#!/bin/bash
# Starts the Temporal UI with the codec endpoint, whose path is a generated secret.
set -euo pipefail

TEMPORAL_CODEC_ENDPOINT=$(cat /run/everline/ui/codec-endpoint)
export TEMPORAL_CODEC_ENDPOINT
cd /home/ui-server
exec ./start-ui-server.sh "$@"
