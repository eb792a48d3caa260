#!/usr/bin/env bash
# Makes stand-ins of the base images from Debian packages, for podman on a machine that reaches no registry.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/base_images/engine.sh
. tools/base_images/engine.sh
python="docker.io/library/python:$(sed -n 's/^ARG PYTHON=//p' Dockerfile)"
postgres="docker.io/library/$(sed -n 's/^ *image: \(postgres:.*\)/\1/p' compose.yaml)"

wanted="$(cat tools/base_images/{make.sh,Dockerfile,postgres.sh} | sha256sum | cut -d' ' -f1) $python $postgres"
if [ "$(cat "$podman/base-images" 2>/dev/null)" = "$wanted" ] && podman image exists "$postgres"; then
  exit
fi
sources=/etc/apt/sources.list.d/debian.sources
[ -f "$sources" ] || sources=/etc/apt/sources.list
# In memory, where there is enough: dpkg waits for the disk after each file.
if [ "$(df --output=avail --block-size=1M /dev/shm | tail -1)" -gt 4000 ]; then
  export TMPDIR=/dev/shm
fi
packages=ca-certificates,python3.11,python3-pip,python3-venv,python-is-python3,postgresql-15
root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
# shellcheck disable=SC2016  # mmdebstrap runs the hooks, and gives them the folder of the root file system
mmdebstrap --quiet --variant=minbase --include="$packages" \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --essential-hook='mkdir -p "$1/etc/postgresql-common"' \
  --essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"' \
  --customize-hook='rm "$1/usr/lib/python3.11/EXTERNALLY-MANAGED"' \
  bookworm "$root/debian.tar" "$sources"
podman import --quiet "$root/debian.tar" localhost/debian:bookworm >/dev/null
for name in python postgres; do
  podman build --quiet --isolation=chroot --pull=never --target="$name" --tag="${!name}" tools/base_images >/dev/null
done
echo "$wanted" >"$podman/base-images"
