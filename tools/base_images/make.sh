#!/usr/bin/env bash
# Makes stand-ins of the base images from Debian packages, for podman on a machine that reaches no registry.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tools/base_images/engine.sh
. tools/base_images/engine.sh
tag() { # ARGUMENT of the Dockerfile -> its tag, without a digest
  sed -n "s/^ARG $1=\([^@]*\).*/\1/p" Dockerfile
}
python="docker.io/library/python:$(tag PYTHON)"
golang="docker.io/library/golang:$(tag GO)"
launcher="gcr.io/dataflow-templates-base/python311-template-launcher-base:$(tag LAUNCHER)"
postgres="docker.io/library/$(sed -n 's/^ *image: \(postgres:.*\)/\1/p' compose.yaml)"

context=(tools/base_images/{Dockerfile,postgres.sh,launcher.sh} .tools/bin/{prism,container})
wanted="$(cat tools/base_images/make.sh "${context[@]}" | sha256sum | cut -d' ' -f1) $python $golang $postgres"
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
mkdir "$root/context"
cp "${context[@]}" "$root/context"
for name in python postgres golang launcher; do
  podman build --quiet --isolation=chroot --pull=never --target="$name" --tag="${!name}" "$root/context" >/dev/null
done
echo "$wanted" >"$podman/base-images"
