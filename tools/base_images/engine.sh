# Sourced by scripts: sets `engine` and `compose`, the commands that run containers. They are Docker's where a Docker
# daemon runs; elsewhere podman and podman-compose, which scripts/tools installs.
# shellcheck shell=bash
mkdir -p .tools
podman="$(cd .tools && pwd -P)/podman"

has_docker() {
  docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
}

configure_podman() { # what needs neither systemd nor the machine's own settings
  mkdir -p "$podman"
  cat >"$podman/containers.conf" <<EOF
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
network_config_dir = "$podman/networks"
[containers]
default_ulimits = ["nofile=1024:$(ulimit -Hn)", "nproc=1024:1024"]
log_driver = "k8s-file"
EOF
  printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' \
    "$podman/storage" "$podman/run" >"$podman/storage.conf"
  export CONTAINERS_CONF="$podman/containers.conf" CONTAINERS_STORAGE_CONF="$podman/storage.conf"
}

if has_docker; then
  engine=(docker)
  compose=(docker compose)
else
  configure_podman
  engine=(podman)
  # A build runs in the network of the machine, and trusts whom the machine trusts. Its bases are already here, as tags:
  # the digests are those of the registries.
  build=(
    --isolation=chroot --network=host --pull=never
    --volume=/etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro
  )
  for argument in PYTHON GO LAUNCHER; do
    build+=("--build-arg=$(sed -n "s/^ARG \($argument=[^@]*\).*/\1/p" Dockerfile)")
  done
  compose=("$PWD/.tools/containers/bin/python" -m podman_compose "--podman-build-args=${build[*]}")
fi
