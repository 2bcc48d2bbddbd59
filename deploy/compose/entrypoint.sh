#!/bin/sh
# Puts the settings that the init service wrote for this process into the environment, then runs the
# command. Without such a file (Kubernetes, a plain `docker run`) the environment is taken as it is.
set -eu

settings=${EVERLINE_SETTINGS_FILE:-/run/everline/settings.env}
if [ -e "$settings" ]; then
    while IFS= read -r line; do
        export "${line?}"
    done <"$settings"
fi
exec "$@"
