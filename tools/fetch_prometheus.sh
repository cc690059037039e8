#!/usr/bin/env bash
# Fetch Prometheus, promtool and amtool without installing them: no service is started, no user made. For Debian and
# Ubuntu; elsewhere any Prometheus from 2.42 on does, on the PATH or named by QUARRY_PROMETHEUS.
#
# tools/fetch_prometheus.sh [directory]   unpacks there (default .venv-prometheus) and prints the line for your shell
set -euo pipefail
cd "$(dirname "$0")/.."

home=${1:-.venv-prometheus}
mkdir -p "$home"
home=$(cd "$home" && pwd)
packages=$(mktemp -d)
trap 'rm -rf "$packages"' EXIT
(cd "$packages" && apt-get download --quiet --quiet prometheus prometheus-alertmanager) >&2
for package in "$packages"/*.deb; do
    dpkg -x "$package" "$home"
done
"$home/usr/bin/prometheus" --version 2>&1 | head -1 >&2
echo "export QUARRY_PROMETHEUS=$home/usr/bin/prometheus"
