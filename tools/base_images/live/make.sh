#!/usr/bin/env bash
# Makes stand-ins of the base images of the profile `live`, for podman on a machine that reaches no registry. It needs
# `scripts/tools containers kafka` and Java on PATH.
set -euo pipefail
cd "$(dirname "$0")/../../.."
# shellcheck source=tools/base_images/engine.sh
. tools/base_images/engine.sh
kafka="docker.io/$(sed -n 's/^ *image: \(apache\/kafka:.*\)/\1/p' compose.yaml)"

wanted="$(cat tools/base_images/live/* | sha256sum | cut -d' ' -f1) $kafka"
if [ "$(cat "$podman/live-images" 2>/dev/null)" = "$wanted" ] && podman image exists "$kafka"; then
  exit
fi
context="$(mktemp -d)"
trap 'rm -rf "$context"' EXIT
cp tools/base_images/live/{Dockerfile,kafka.sh} "$context"
cp -r .tools/kafka "$context/jars"
java="$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")"
tar --create --dereference --ignore-failed-read --exclude=src.zip --exclude=jmods --exclude=docs --exclude=man \
  --directory="$(dirname "$java")" "$(basename "$java")" 2>/dev/null | tar --extract --directory="$context"
mv "$context/$(basename "$java")" "$context/java"
podman build --quiet --isolation=chroot --pull=never --tag="$kafka" "$context" >/dev/null
echo "$wanted" >"$podman/live-images"
