#!/bin/sh
# Creates Temporal's two databases, or brings their schemas up to date; safe to repeat.
# Runs in temporalio/admin-tools, which has the tool and the schemas of its own version.
set -eu

SQL_PASSWORD=$(cat /run/everline/postgres/password)
export SQL_PASSWORD SQL_PLUGIN=postgres12 SQL_HOST=postgres SQL_PORT=5432 SQL_USER=temporal
schemas=/etc/temporal/schema/postgresql/v12

for database in temporal temporal_visibility; do
    case $database in
    temporal) versions=$schemas/temporal/versioned ;;
    *) versions=$schemas/visibility/versioned ;;
    esac
    temporal-sql-tool --db "$database" create
    temporal-sql-tool --db "$database" setup-schema -v 0.0
    temporal-sql-tool --db "$database" update-schema -d "$versions"
done
