#!/bin/bash
# Starts the Temporal server with the generated password of its database. The image's own entrypoint
# would write the configuration beside its template; here that file system is read-only.
set -euo pipefail

POSTGRES_PWD=$(cat /run/everline/postgres/password)
export POSTGRES_PWD
mkdir -p /tmp/config
dockerize -template /etc/temporal/config/config_template.yaml:/tmp/config/docker.yaml
exec temporal-server --root /tmp --config config --env docker start
