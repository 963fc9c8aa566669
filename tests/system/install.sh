#!/bin/sh
# Install what the system tests need on Debian: the Docker engine, Compose, debootstrap. As root.
set -eu
for command in dockerd docker docker-compose debootstrap; do
    if ! command -v "$command" > /dev/null; then
        apt-get update
        # apparmor and cgroupfs-mount are only recommended by docker.io, yet some kernels start no container without them.
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
            docker.io apparmor cgroupfs-mount docker-compose debootstrap debian-archive-keyring
        break
    fi
done
