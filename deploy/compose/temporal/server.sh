#!/bin/bash
# Starts the Temporal server with the generated password of its database.
set -euo pipefail

POSTGRES_PWD=$(cat /run/everline/postgres/password)
export POSTGRES_PWD
exec /etc/temporal/entrypoint.sh "$@"
